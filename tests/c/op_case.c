#include "op_case.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/bytes.h"
#include "base/mem.h"
#include "format/onnx.h"
#include "onnx/convert.h"
#include "test_mem.h"

static const struct {
  const char *name;
  bbw_dtype dtype;
} types[] = {{"f32", BBW_DTYPE_F32},  {"f64", BBW_DTYPE_F64}, {"f16", BBW_DTYPE_F16}, {"bf16", BBW_DTYPE_BF16},
             {"i8", BBW_DTYPE_I8},    {"i16", BBW_DTYPE_I16}, {"i32", BBW_DTYPE_I32}, {"i64", BBW_DTYPE_I64},
             {"u8", BBW_DTYPE_U8},    {"u16", BBW_DTYPE_U16}, {"u32", BBW_DTYPE_U32}, {"u64", BBW_DTYPE_U64},
             {"bool", BBW_DTYPE_BOOL}};

static bbw_str text(const char *s) { return (bbw_str){s, strlen(s)}; }

static void *get(bbw_arena *arena, size_t count, size_t size) {
  void *p = bbw_arena_array(arena, count, size);
  if (p == NULL) { abort(); }
  return p;
}

/* The array of a text that ends at a space or the end; its elements follow, separated by spaces or commas. */
bbw_array op_text_array(const char *s, bbw_arena *arena) {
  bbw_array a = {0};
  size_t dims[BBW_ARRAY_RANK_MAX], name = strcspn(s, "[");
  uint32_t rank = 0;
  bbw_dtype dtype = BBW_DTYPE_NONE;
  for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
    if (strlen(types[i].name) == name && strncmp(types[i].name, s, name) == 0) { dtype = types[i].dtype; }
  }
  char *at = (char *)(uintptr_t)(s + name + 1);
  while (*at != ']') { dims[rank++] = (size_t)strtoull(at, &at, 10); }
  at++;
  if (dtype == BBW_DTYPE_NONE || !bbw_array_shape(&a, dtype, rank, dims)) {
    print_error("no array: %s\n", s);
    abort();
  }
  a.data = get(arena, a.count + 1, bbw_dtype_bytes(dtype));
  double number = 0.0;
  int64_t whole = 0;
  for (size_t i = 0; i < a.count; i++) {
    while (*at == ' ' || *at == ',') { at++; }
    if (*at != '\0') {
      char *start = at;
      number = strtod(start, &at);
      whole = *start == '-' ? strtoll(start, NULL, 10) : (int64_t)strtoull(start, NULL, 10);
    }
    if (bbw_dtype_is_float(dtype)) {
      bbw_store_f64(&a, i, 1, &number);
    } else {
      bbw_store_i64(&a, i, 1, &whole);
    }
  }
  return a;
}

void op_text_tensor(bbw_onnx_tensor *out, const char *name, const bbw_array *a, bbw_arena *arena) {
  int64_t *dims = get(arena, a->rank + 1u, sizeof *dims);
  for (uint32_t d = 0; d < a->rank; d++) { dims[d] = (int64_t)a->dims[d]; }
  *out = (bbw_onnx_tensor){.name = text(name),
                           .dims = {dims, a->rank},
                           .data_type = bbw_dtype_to_onnx(a->dtype),
                           .raw_data = {a->data, bbw_array_bytes(a)}};
}

static void read_attribute(bbw_onnx_attribute *out, const char *s, size_t len, bbw_arena *arena) {
  char *copy = get(arena, len + 1, 1);
  memcpy(copy, s, len);
  char *value = strchr(copy, '=');
  *value++ = '\0';
  out->name = text(copy);
  if (strncmp(value, "[f:", 3) == 0) {
    float *items = get(arena, len, sizeof *items);
    size_t count = 0;
    for (char *at = value; (at = strstr(at, "f:")) != NULL; at += 2) { items[count++] = (float)strtod(at + 2, NULL); }
    out->type = BBW_ONNX_ATTR_FLOATS;
    out->floats = (bbw_proto_list){items, count};
  } else if (strncmp(value, "[s:", 3) == 0) {
    bbw_bytes *items = get(arena, len, sizeof *items);
    size_t count = 0;
    for (char *at = value; (at = strstr(at, "s:")) != NULL; at += 2) {
      items[count++] = bbw_str_bytes((bbw_str){at + 2, strcspn(at + 2, ",]")});
    }
    out->type = 8; /* STRINGS */
    out->strings = (bbw_proto_list){items, count};
  } else if (*value == '[') {
    int64_t *items = get(arena, len, sizeof *items);
    size_t count = 0;
    char *at = value + 1;
    while (*at != ']') {
      items[count++] = strtoll(at, &at, 10);
      if (*at == ',') { at++; }
    }
    out->type = BBW_ONNX_ATTR_INTS;
    out->ints = (bbw_proto_list){items, count};
  } else if (strncmp(value, "f:", 2) == 0) {
    out->type = BBW_ONNX_ATTR_FLOAT;
    out->f = (float)strtod(value + 2, NULL);
  } else if (strncmp(value, "s:", 2) == 0) {
    out->type = BBW_ONNX_ATTR_STRING;
    out->s = bbw_str_bytes(text(value + 2));
  } else if (strncmp(value, "t:", 2) == 0) {
    bbw_array a = op_text_array(value + 2, arena);
    bbw_onnx_tensor *t = get(arena, 1, sizeof *t);
    op_text_tensor(t, "t", &a, arena);
    out->type = BBW_ONNX_ATTR_TENSOR;
    out->t = t;
  } else {
    out->type = BBW_ONNX_ATTR_INT;
    out->i = strtoll(value, NULL, 10);
  }
}

bbw_proto_list op_text_attributes(const char *at, bbw_arena *arena) {
  if (at == NULL) { at = ""; }
  bbw_onnx_attribute *attributes = get(arena, strlen(at) + 1, sizeof *attributes);
  size_t count = 0;
  while (*at != '\0') {
    size_t n = strcspn(at, " ");
    const char *open = memchr(at, '[', n); /* spaces inside of brackets belong to the attribute */
    if (open != NULL && memchr(open, ']', n - (size_t)(open - at)) == NULL) { n += strcspn(at + n, "]") + 1; }
    read_attribute(&attributes[count++], at, n, arena);
    at += n + (at[n] == ' ' ? 1 : 0);
  }
  return (bbw_proto_list){attributes, count};
}

static const char *const input_names[OP_CASE_ARRAYS] = {"a", "b", "c", "d", "e", "f", "g", "h", "i"};
static const char *const output_names[OP_CASE_ARRAYS] = {"u", "v", "w", "x", "y", "z", "r", "s", "t"};

static size_t count_of(const char *const *texts) {
  size_t count = 0;
  while (count < OP_CASE_ARRAYS && texts[count] != NULL) { count++; }
  return count;
}

/* The model; inputs from first_constant on are initializers, and so not in the list of inputs. */
static bbw_bytes build(const op_case *c, size_t first_constant, bbw_array *arrays, size_t *input_count,
                       bbw_arena *arena) {
  static const char *const one_output[OP_CASE_ARRAYS] = {"f32[]"};
  const char *const *outputs = c->want[0] != NULL ? c->want : one_output;
  size_t inputs = count_of(c->inputs), output_count = count_of(outputs);
  bbw_onnx_node *node = get(arena, 1, sizeof *node);
  bbw_onnx_graph *graph = get(arena, 1, sizeof *graph);
  bbw_onnx_opset *opset = get(arena, 1, sizeof *opset);
  bbw_str *in = get(arena, inputs + 1, sizeof *in), *out = get(arena, output_count + 1, sizeof *out);
  bbw_onnx_value_info *in_infos = get(arena, inputs + 1, sizeof *in_infos);
  bbw_onnx_value_info *out_infos = get(arena, output_count + 1, sizeof *out_infos);
  bbw_onnx_tensor *tensors = get(arena, inputs + 1, sizeof *tensors);
  size_t infos = 0, tensor_count = 0, out_count = 0;
  for (size_t i = 0; i < inputs; i++) {
    if (c->inputs[i][0] == '\0') { continue; }
    bbw_array a = op_text_array(c->inputs[i], arena);
    in[i] = text(input_names[i]);
    if (i >= first_constant) {
      op_text_tensor(&tensors[tensor_count++], input_names[i], &a, arena);
      continue;
    }
    arrays[infos] = a;
    in_infos[infos++] = (bbw_onnx_value_info){.name = in[i]};
  }
  for (size_t i = 0; i < output_count; i++) {
    if (outputs[i][0] == '\0') { continue; }
    out[i] = text(output_names[i]);
    out_infos[out_count++] = (bbw_onnx_value_info){.name = out[i]};
  }
  *node = (bbw_onnx_node){
      .op_type = text(c->op), .name = text("node"), .input = {in, inputs}, .output = {out, output_count}};
  node->attribute = op_text_attributes(c->attributes, arena);
  opset->version = c->opset;
  *graph = (bbw_onnx_graph){.name = text("g"),
                            .node = {node, 1},
                            .input = {in_infos, infos},
                            .output = {out_infos, out_count},
                            .initializer = {tensors, tensor_count}};
  bbw_onnx_model model = {.ir_version = 8, .graph = graph, .opset_import = {opset, 1}};
  bbw_bytes bytes;
  if (bbw_proto_encode(&bytes, &model, &bbw_onnx_model_type, arena) != BBW_OK) { abort(); }
  *input_count = infos;
  return bytes;
}

static bool is_equal(const bbw_array *got, const bbw_array *want, size_t *at) {
  *at = SIZE_MAX;
  if (got->dtype != want->dtype || !bbw_array_same_shape(got, want)) { return false; }
  for (*at = 0; *at < want->count; (*at)++) {
    double a, b;
    int64_t i, k;
    if (bbw_dtype_is_float(want->dtype)) {
      bbw_load_f64(got, *at, 1, &a);
      bbw_load_f64(want, *at, 1, &b);
      if (!(a == b || (isnan(a) && isnan(b)) || fabs(a - b) <= 1e-9 + 1e-6 * fabs(b))) { return false; }
    } else {
      bbw_load_i64(got, *at, 1, &i);
      bbw_load_i64(want, *at, 1, &k);
      if (i != k) { return false; }
    }
  }
  return true;
}

static void wrong(const op_case *c, const char *way, const char *what) {
  print_error("%s: %s (%s)\n", c->name, what, way);
  fail();
}

/* Loads and runs; the error of either. */
static bbw_status run(bbw_session **session, bbw_bytes model, const bbw_session_options *options, const bbw_mem *mem,
                      const bbw_array *inputs, size_t input_count, bbw_array *outputs, bbw_error *err) {
  bbw_status rv = bbw_session_new(session, model, options, mem, err);
  if (rv == BBW_OK) { rv = bbw_session_run(*session, inputs, input_count, outputs, err); }
  return rv;
}

static void check_way(const op_case *c, size_t first_constant, bool is_plain, const char *way) {
  bbw_arena arena;
  test_mem mem;
  bbw_error err;
  bbw_array inputs[OP_CASE_ARRAYS], outputs[OP_CASE_ARRAYS];
  size_t input_count, at;
  bbw_session *session = NULL;
  bbw_session_options options = {.is_plain = is_plain};
  bbw_arena_init(&arena, &bbw_mem_libc);
  test_mem_init(&mem);
  bbw_bytes model = build(c, first_constant, inputs, &input_count, &arena);
  bbw_status rv = run(&session, model, &options, &mem.mem, inputs, input_count, outputs, &err);
  if (c->refused != NULL) {
    bbw_str detail = bbw_error_field(&err, "detail"), item = bbw_error_item(&err, "nodes", 0);
    char all[700] = "";
    if (rv == BBW_OK) { wrong(c, way, "is not refused"); }
    if (detail.len > 0) { memcpy(all, detail.ptr, detail.len); }
    if (detail.len == 0 && item.len > 0) { memcpy(all, item.ptr, item.len); }
    if (strstr(all, c->refused) == NULL) { wrong(c, way, all); }
  } else if (rv != BBW_OK) {
    bbw_str detail = bbw_error_field(&err, "detail");
    print_error("%.*s: %.*s\n", (int)bbw_status_name(rv).len, bbw_status_name(rv).ptr, (int)detail.len, detail.ptr);
    wrong(c, way, "fails");
  }
  for (size_t i = 0, o = 0; rv == BBW_OK && i < count_of(c->want); i++) {
    if (c->want[i][0] == '\0') { continue; }
    bbw_array want = op_text_array(c->want[i], &arena);
    if (!is_equal(&outputs[o], &want, &at)) {
      double got = 0.0;
      if (at != SIZE_MAX) { bbw_load_f64(&outputs[o], at, 1, &got); }
      print_error("output %zu, element %zd: %.9g; type %d, shape", i, (ptrdiff_t)at, got, (int)outputs[o].dtype);
      for (uint32_t d = 0; d < outputs[o].rank; d++) { print_error(" %zu", outputs[o].dims[d]); }
      print_error("\n");
      wrong(c, way, "gives something else");
    }
    o++;
  }
  if (session != NULL) { bbw_session_del(session); }
  assert_int_equal(mem.live_bytes, 0);
  bbw_status wanted = rv;
  for (size_t nth = 0; nth < 100000; nth++) { /* every allocation fails once */
    session = NULL;
    rv = run(&session, model, &options, test_mem_fail_at(&mem, nth), inputs, input_count, outputs, &err);
    if (session != NULL) { bbw_session_del(session); }
    assert_int_equal(mem.live_bytes, 0);
    if (mem.alloc_count <= nth) { break; } /* nothing failed */
    if (rv != BBW_E_NOMEM && rv != wanted) { wrong(c, way, "answers an allocation that fails with another error"); }
  }
  assert_int_equal(rv, wanted);
  bbw_arena_free(&arena);
}

void op_case_check(const op_case *c) {
  check_way(c, OP_CASE_ARRAYS, false, "inputs");
  check_way(c, OP_CASE_ARRAYS, true, "inputs, plain");
  check_way(c, 1, false, "initializers after the first");
  check_way(c, 1, true, "initializers after the first, plain");
  check_way(c, 0, false, "initializers");
  check_way(c, 0, true, "initializers, plain");
}

void op_cases_check(const op_case *cases, size_t count) {
  for (size_t i = 0; i < count; i++) { op_case_check(&cases[i]); }
}
