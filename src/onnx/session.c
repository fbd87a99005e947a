#include "bbw/session.h"

#include <string.h>

#include "base/bytes.h"
#include "base/mem.h"
#include "onnx/runner.h"
#include "onnx/session.h"

/* Far above what models do, and some seconds of work: a loop that never ends is an error and not a page that hangs. */
#define STEPS_MAX ((uint64_t)1 << 24)

struct bbw_session {
  bbw_program *program;
  bbw_budget budget;
  bbw_runner *runner;
  size_t memory_bytes_max;
};

static uint64_t steps_of(const bbw_session_options *options) {
  return options != NULL && options->steps_max != 0 ? options->steps_max : STEPS_MAX;
}

static bbw_status make(bbw_session **out, bbw_program *program, size_t bytes_max, uint64_t steps_max, bbw_error *err) {
  const bbw_mem *mem = program->mem;
  bbw_session *s = bbw_mem_array(mem, 1, sizeof *s);
  if (s == NULL) { return bbw_error_set(err, BBW_E_NOMEM); }
  s->program = program;
  s->memory_bytes_max = bytes_max;
  s->budget.steps_max = steps_max;
  s->budget.bytes_max = bytes_max == SIZE_MAX ? SIZE_MAX : bytes_max - program->constant_bytes;
  bbw_status rv = bbw_runner_new(&s->runner, program, bbw_program_main(program), &s->budget, err);
  if (rv != BBW_OK) {
    mem->free(mem->ctx, s, sizeof *s);
    return rv;
  }
  *out = s;
  return BBW_OK;
}

static bbw_program_options program_options(const bbw_session_options *options) {
  if (options == NULL) { return (bbw_program_options){0}; }
  return (bbw_program_options){.memory_bytes_max = options->memory_bytes_max,
                               .elements_max = options->elements_max,
                               .is_plain = options->is_plain};
}

/* The program's reference goes to the session. */
static bbw_status adopt(bbw_session **out, bbw_program *program, const bbw_session_options *options, bbw_error *err) {
  bbw_status rv = make(out, program, program->constant_bytes_max, steps_of(options), err);
  if (rv != BBW_OK) { bbw_program_release(program); }
  return rv;
}

bbw_status bbw_session_new(bbw_session **out, bbw_bytes model, const bbw_session_options *options, const bbw_mem *mem,
                           bbw_error *err) {
  bbw_program_options for_program = program_options(options);
  bbw_program *program;
  bbw_status rv = bbw_program_new(&program, model, &for_program, mem, err);
  return rv == BBW_OK ? adopt(out, program, options, err) : rv;
}

bbw_status bbw_session_make(bbw_session **out, const bbw_onnx_model *model, const bbw_session_options *options,
                            const bbw_mem *mem, bbw_error *err) {
  bbw_program_options for_program = program_options(options);
  bbw_program *program;
  bbw_status rv = bbw_program_make(&program, model, &for_program, mem, err);
  return rv == BBW_OK ? adopt(out, program, options, err) : rv;
}

bbw_status bbw_session_share(bbw_session **out, bbw_session *session, bbw_error *err) {
  bbw_status rv = make(out, session->program, session->memory_bytes_max, session->budget.steps_max, err);
  if (rv == BBW_OK) { bbw_program_retain(session->program); }
  return rv;
}

void bbw_session_del(bbw_session *s) {
  if (s == NULL) { return; }
  const bbw_mem *mem = s->program->mem;
  bbw_runner_del(s->runner);
  bbw_program_release(s->program);
  mem->free(mem->ctx, s, sizeof *s);
}

static const bbw_body *main_of(const bbw_session *s) { return bbw_program_main(s->program); }

size_t bbw_session_input_count(const bbw_session *s) { return main_of(s)->input_count; }
size_t bbw_session_output_count(const bbw_session *s) { return main_of(s)->output_count; }

bbw_port_info bbw_port_info_of(const bbw_port *port) {
  bbw_port_info info = {.name = port->name, .dtype = port->dtype, .has_shape = port->has_shape, .rank = port->rank};
  memcpy(info.dims, port->dims, sizeof info.dims);
  memcpy(info.symbols, port->symbols, sizeof info.symbols);
  return info;
}
bbw_port_info bbw_session_input(const bbw_session *s, size_t i) { return bbw_port_info_of(&main_of(s)->inputs[i]); }
bbw_port_info bbw_session_output(const bbw_session *s, size_t i) { return bbw_port_info_of(&main_of(s)->outputs[i]); }

/* ---- inputs against their declaration ---- */

#define SHAPE_TEXT_MAX 200u

static void append(char *out, size_t *used, bbw_str part) {
  size_t n = part.len < SHAPE_TEXT_MAX - *used ? part.len : SHAPE_TEXT_MAX - *used;
  if (n > 0) { memcpy(out + *used, part.ptr, n); }
  *used += n;
}

/* "[1, 3, n, ?]" */
static bbw_str shape_text(char out[SHAPE_TEXT_MAX], uint32_t rank, const int64_t *dims, const bbw_str *symbols) {
  size_t used = 0;
  append(out, &used, BBW_STR("["));
  for (uint32_t d = 0; d < rank; d++) {
    char digits[20];
    if (d > 0) { append(out, &used, BBW_STR(", ")); }
    if (dims[d] >= 0) {
      append(out, &used, (bbw_str){digits, bbw_format_u64((uint64_t)dims[d], digits)});
    } else {
      append(out, &used, symbols[d].len > 0 ? symbols[d] : BBW_STR("?"));
    }
  }
  append(out, &used, BBW_STR("]"));
  size_t bad;
  if (!bbw_utf8_is_valid((bbw_bytes){(const uint8_t *)out, used}, &bad)) { used = bad; }
  return (bbw_str){out, used};
}

static bbw_status refuse_shape(const bbw_port *port, const bbw_array *got, bbw_error *err) {
  char text[SHAPE_TEXT_MAX];
  int64_t dims[BBW_ARRAY_RANK_MAX];
  for (uint32_t d = 0; d < got->rank; d++) { dims[d] = (int64_t)got->dims[d]; }
  bbw_error_set(err, BBW_E_SHAPE);
  bbw_error_add_str(err, "input", port->name);
  bbw_error_add_str(err, "expected", shape_text(text, port->rank, port->dims, port->symbols));
  bbw_error_add_str(err, "got", shape_text(text, got->rank, dims, NULL));
  return BBW_E_SHAPE;
}

/* The size that an earlier dimension of the same name has, or -1. */
static int64_t size_of_symbol(const bbw_body *body, const bbw_array *inputs, uint32_t at, uint32_t axis) {
  bbw_str symbol = body->inputs[at].symbols[axis];
  for (uint32_t i = 0; i <= at && symbol.len > 0; i++) {
    const bbw_port *port = &body->inputs[i];
    for (uint32_t d = 0; port->has_shape && d < port->rank && (i < at || d < axis); d++) {
      if (port->dims[d] < 0 && bbw_str_equal(port->symbols[d], symbol)) { return (int64_t)inputs[i].dims[d]; }
    }
  }
  return -1;
}

static bbw_status check_input(const bbw_body *body, const bbw_array *inputs, uint32_t i, bbw_error *err) {
  const bbw_port *port = &body->inputs[i];
  const bbw_array *got = &inputs[i];
  if (got->dtype == BBW_DTYPE_NONE || (port->dtype != BBW_DTYPE_NONE && got->dtype != port->dtype)) {
    bbw_error_set(err, BBW_E_ELEMENT_TYPE);
    bbw_error_add_str(err, "input", port->name);
    bbw_error_add_str(err, "expected",
                      port->dtype != BBW_DTYPE_NONE ? bbw_dtype_name(port->dtype) : BBW_STR("an element type"));
    bbw_error_add_str(err, "got", bbw_dtype_name(got->dtype));
    return BBW_E_ELEMENT_TYPE;
  }
  if (!port->has_shape) { return BBW_OK; }
  if (port->rank != got->rank) { return refuse_shape(port, got, err); }
  for (uint32_t d = 0; d < port->rank; d++) {
    int64_t size = port->dims[d] >= 0 ? port->dims[d] : size_of_symbol(body, inputs, i, d);
    if (size >= 0 && (uint64_t)size != got->dims[d]) { return refuse_shape(port, got, err); }
  }
  return BBW_OK;
}

bbw_status bbw_body_check_inputs(const bbw_body *body, uint32_t wanted, const bbw_array *inputs, size_t count,
                                 bbw_error *err) {
  if (count != wanted) {
    bbw_error_set(err, BBW_E_ARG);
    bbw_error_add_str(err, "detail", BBW_STR("the model takes another number of inputs"));
    bbw_error_add_u64(err, "expected", wanted);
    bbw_error_add_u64(err, "got", count);
    return BBW_E_ARG;
  }
  for (uint32_t i = 0; i < wanted; i++) { BBW_TRY(check_input(body, inputs, i, err)); }
  return BBW_OK;
}

bbw_status bbw_session_run(bbw_session *s, const bbw_array *inputs, size_t count, bbw_array *outputs, bbw_error *err) {
  const bbw_body *body = main_of(s);
  BBW_TRY(bbw_body_check_inputs(body, body->input_count, inputs, count, err));
  s->budget.steps = 0;
  return bbw_runner_run(s->runner, inputs, body->input_count, outputs, err);
}

bbw_session_stats bbw_session_stats_of(const bbw_session *s) {
  return (bbw_session_stats){s->program->constant_bytes, s->budget.bytes, s->budget.peak, s->program->parameter_count,
                             main_of(s)->nodes.count};
}
