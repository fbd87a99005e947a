/*
 * Gradients of If, Loop and Scan.
 *
 * The body of the gradient is a copy of the forward body with the backward graph of its outputs behind it; what surrounds it is again an If, or a Scan that goes from the last iteration to the first:
 *
 *   If      if condition: gradients of what the branch captures, else those of the other one; 0 for what only the other one captures
 *   Loop,   forward with the values that are carried into each iteration as further outputs.
 *   Scan    back: a Scan over these, the scanned inputs and the gradients of the scanned outputs.  It carries the gradients of the carried values and the sums of those of the captures, and its
 *           outputs are the gradients of the scanned inputs.
 *
 * So there is nothing to run that was not there before, and bodies inside of bodies need no more than the depth that the loader allows.
 */
#include <string.h>

#include "autodiff/gradient.h"
#include "onnx/convert.h"
#include "onnx/params.h"

typedef struct maker {
  bbw_program *program;
  bbw_body *body;          /* around the node */
  const bbw_op_node *node; /* a copy of it */
  uint32_t index;
  const uint32_t *slopes;
  const uint8_t *is_needed;
  uint32_t *made;
  bbw_arena *scratch;
  bbw_error *err;
} maker;

static bbw_status no_memory(const maker *m) { return bbw_error_set(m->err, BBW_E_NOMEM); }

static bbw_status refuse(const maker *m, const char *detail) {
  return bbw_op_node_error(m->err, BBW_E_ONNX_UNSUPPORTED, m->node, NULL, -1, detail);
}

static uint32_t *numbers(const maker *m, size_t count) { return bbw_arena_array(m->scratch, count, sizeof(uint32_t)); }

static bool wants(const maker *m, uint32_t position) {
  uint32_t v = m->node->inputs[position];
  return v != BBW_VALUE_NONE && m->is_needed[v] != 0;
}

static uint32_t slope_of(const maker *m, uint32_t output) {
  return output < m->node->output_count ? m->slopes[output] : BBW_VALUE_NONE;
}

static bbw_status zeros_like(const maker *m, bbw_body *body, uint32_t like, uint32_t *out) {
  bbw_new_node made = {.op = bbw_onnx_op_find(BBW_STR("bbw"), BBW_STR("ZerosLike"), 1, NULL),
                       .name = m->node->name,
                       .opset = 1,
                       .inputs = &like,
                       .input_count = 1,
                       .output_count = 1,
                       .outputs = out};
  *out = 0;
  return bbw_body_append(m->program, body, &made, m->err);
}

/* Another value of the body that stands for that input of the node around it. */
static bbw_status capture(const maker *m, bbw_body *body, uint32_t position, uint32_t *out) {
  BBW_TRY(bbw_body_new_value(body, NULL, BBW_VALUE_NONE, out, m->err));
  bbw_capture *made = bbw_vec_push(&body->captures);
  if (made == NULL) { return no_memory(m); }
  *made = (bbw_capture){.value = *out, .position = position};
  return BBW_OK;
}

static uint32_t captured_at(const bbw_body *body, uint32_t position) {
  for (size_t i = 0; i < body->captures.count; i++) {
    const bbw_capture *c = BBW_VEC_AT(&body->captures, bbw_capture, i);
    if (c->position == position) { return c->value; }
  }
  return BBW_VALUE_NONE;
}

/* ---- If ---- */

/* One branch: wanted[] are positions of inputs of the node; slopes of its outputs stand behind the inputs of the node, in their order. */
static bbw_status branch(const maker *m, const bbw_body *from, const uint32_t *wanted, uint32_t count, bbw_body **out) {
  bbw_body *body;
  BBW_TRY(bbw_body_clone(m->program, from, &body, m->err));
  uint32_t *roots = numbers(m, body->output_count), *slopes = numbers(m, body->output_count), root_count = 0;
  uint32_t *values = numbers(m, count), *gradients = numbers(m, count), position = m->node->input_count;
  if (roots == NULL || slopes == NULL || values == NULL || gradients == NULL) { return no_memory(m); }
  for (uint32_t o = 0; o < body->output_count; o++) {
    if (slope_of(m, o) == BBW_VALUE_NONE) { continue; }
    roots[root_count] = body->outputs[o].value;
    BBW_TRY(capture(m, body, position++, &slopes[root_count++]));
  }
  for (uint32_t i = 0; i < count; i++) {
    values[i] = captured_at(body, wanted[i]);
    if (values[i] == BBW_VALUE_NONE) { BBW_TRY(capture(m, body, wanted[i], &values[i])); }
  }
  BBW_TRY(bbw_gradient_build(m->program, body, roots, slopes, root_count, values, count, gradients, m->err));
  for (uint32_t i = 0; i < count; i++) {
    if (gradients[i] == BBW_VALUE_NONE) { BBW_TRY(zeros_like(m, body, values[i], &gradients[i])); }
  }
  *out = body;
  return bbw_body_set_outputs(m->program, body, gradients, count, m->err);
}

static bbw_status of_if(const maker *m) {
  const bbw_op_node *node = m->node;
  uint32_t *wanted = numbers(m, node->input_count), *outputs = numbers(m, node->input_count), count = 0;
  uint32_t *inputs = numbers(m, (size_t)node->input_count + node->output_count), input_count = node->input_count;
  bbw_body **bodies = bbw_arena_array(&m->program->arena, 2, sizeof(bbw_body *));
  if (wanted == NULL || outputs == NULL || inputs == NULL || bodies == NULL) { return no_memory(m); }
  if (node->body_count != 2) { return refuse(m, "a branch is missing"); }
  for (uint32_t i = 1; i < node->input_count; i++) {
    if (wants(m, i)) { wanted[count++] = i; }
  }
  if (count > BBW_GRAPH_PORTS_MAX) { return refuse(m, "too many values for its gradient"); }
  memcpy(inputs, node->inputs, input_count * sizeof *inputs);
  for (uint32_t o = 0; o < node->output_count; o++) {
    if (slope_of(m, o) != BBW_VALUE_NONE) { inputs[input_count++] = slope_of(m, o); }
  }
  for (uint32_t b = 0; b < 2; b++) {
    if (node->bodies[b]->output_count < node->output_count) {
      return refuse(m, "a branch has another number of outputs");
    }
    BBW_TRY(branch(m, node->bodies[b], wanted, count, &bodies[b]));
  }
  bbw_new_node made = {.op = node->op,
                       .name = node->name,
                       .opset = node->opset,
                       .inputs = inputs,
                       .input_count = input_count,
                       .output_count = count,
                       .outputs = outputs,
                       .bodies = bodies,
                       .body_count = 2};
  memset(outputs, 0, count * sizeof *outputs);
  if (count > 0) { BBW_TRY(bbw_body_append(m->program, m->body, &made, m->err)); }
  for (uint32_t i = 0; i < count; i++) { m->made[wanted[i]] = outputs[i]; }
  return BBW_OK;
}

/* ---- Loop and Scan ---- */

/*
 * Inputs of the forward body: first_in that only Loop has (number and condition), carried, scanned in.  Outputs: first_out that only Loop has (condition), carried, scanned out.
 * Those of the node are the same without first_out; its inputs too, where trip count and condition stand in the place of first_in; captures begin at capture_at.
 */
typedef struct loop {
  const bbw_body *forward;
  uint32_t first_in, first_out, carried, scanned_in, scanned_out, capture_at;
  uint8_t *is_carried; /* per carried value: it has a gradient */
  uint32_t *kept;      /* the stacks of inputs of the body, up to the scanned ones: outputs of the forward node */
} loop;

static bool is_real(const bbw_port *port) { return port->dtype == BBW_DTYPE_NONE || port->dtype == BBW_DTYPE_F32; }

static bbw_status read_loop(const maker *m, loop *l) {
  const bbw_op_node *node = m->node;
  static const char odd[] = "the body has another number of inputs or outputs";
  bool is_scan = strcmp(node->op->name, "Scan") == 0;
  if (node->body_count != 1) { return refuse(m, "the body is missing"); }
  const bbw_body *body = node->bodies[0];
  uint32_t captures = (uint32_t)body->captures.count;
  *l = (loop){.forward = body, .first_in = is_scan ? 0 : 2, .first_out = is_scan ? 0 : 1};
  if (is_scan) { l->scanned_in = (uint32_t)((const bbw_scan_params *)node->params)->scan_inputs; }
  if (captures > node->input_count) { return refuse(m, odd); }
  l->capture_at = node->input_count - captures;
  if (body->input_count < l->first_in + l->scanned_in || l->capture_at < body->input_count) { return refuse(m, odd); }
  l->carried = body->input_count - l->first_in - l->scanned_in;
  if (body->output_count < l->first_out + l->carried || node->output_count > body->output_count - l->first_out) {
    return refuse(m, odd);
  }
  l->scanned_out = body->output_count - l->first_out - l->carried;
  for (uint32_t i = l->first_in; i < body->input_count; i++) { /* whole numbers pass no gradient on, but these would */
    if (wants(m, i) && !is_real(&body->inputs[i]) && bbw_dtype_is_float(body->inputs[i].dtype)) {
      return refuse(m, "what the body carries or scans has a gradient in f32 only");
    }
  }
  return body->input_count > BBW_GRAPH_PORTS_MAX || body->output_count > BBW_GRAPH_PORTS_MAX ? refuse(m, odd) : BBW_OK;
}

/* Which carried values have a gradient: those that begin with one, and those that get one in some iteration. */
static uint8_t *find_carried(const maker *m, loop *l) {
  const bbw_body *body = l->forward;
  uint8_t *is_needed = bbw_arena_array(m->scratch, body->values.count, 1);
  l->is_carried = bbw_arena_array(m->scratch, l->carried + 1u, 1);
  if (is_needed == NULL || l->is_carried == NULL) { return NULL; }
  for (uint32_t i = l->first_in; i < body->input_count; i++) {
    if (wants(m, i) && is_real(&body->inputs[i])) { is_needed[body->inputs[i].value] = 1; }
  }
  for (size_t i = 0; i < body->captures.count; i++) {
    const bbw_capture *c = BBW_VEC_AT(&body->captures, bbw_capture, i);
    if (wants(m, c->position)) { is_needed[c->value] = 1; }
  }
  for (bool is_new = true; is_new;) { /* one more carried value in each round but the last */
    bbw_gradient_mark(body, is_needed);
    is_new = false;
    for (uint32_t i = 0; i < l->carried; i++) {
      const bbw_port *in = &body->inputs[l->first_in + i];
      bool is = is_needed[in->value] != 0 || is_needed[body->outputs[l->first_out + i].value] != 0;
      if (!is || l->is_carried[i] != 0 || !is_real(in)) { continue; }
      is_new = true;
      l->is_carried[i] = is_needed[in->value] = 1;
    }
  }
  return is_needed;
}

/* The forward node gives what goes into each iteration too. */
static bbw_status keep_states(const maker *m, loop *l) {
  bbw_arena *arena = &m->program->arena;
  const bbw_body *from = l->forward;
  uint32_t kept = l->first_in + l->carried, before = l->carried + l->scanned_out;
  uint32_t *values = numbers(m, from->output_count + kept);
  uint32_t *outputs = bbw_arena_array(arena, before + kept, sizeof *outputs);
  bbw_body **bodies = bbw_arena_array(arena, 1, sizeof(bbw_body *));
  if (values == NULL || outputs == NULL || bodies == NULL) { return no_memory(m); }
  if (from->output_count + kept > BBW_GRAPH_PORTS_MAX) { return refuse(m, "too many values for its gradient"); }
  for (uint32_t i = 0; i < from->output_count; i++) { values[i] = from->outputs[i].value; }
  for (uint32_t i = 0; i < kept; i++) { values[from->output_count + i] = from->inputs[i].value; }
  BBW_TRY(bbw_body_clone(m->program, from, &bodies[0], m->err));
  BBW_TRY(bbw_body_set_outputs(m->program, bodies[0], values, from->output_count + kept, m->err));
  for (uint32_t i = 0; i < kept; i++) { /* what rows are when there are none */
    bbw_port *port = &bodies[0]->outputs[from->output_count + i];
    *port = from->inputs[i];
    if (i < l->first_in) { port->dtype = i == 0 ? BBW_DTYPE_I64 : BBW_DTYPE_BOOL; }
    if (port->dtype == BBW_DTYPE_NONE) { port->dtype = BBW_DTYPE_F32; } /* nobody reads them */
  }
  for (uint32_t o = 0; o < before; o++) {
    outputs[o] = o < m->node->output_count ? m->node->outputs[o] : BBW_VALUE_NONE;
    bool is_shape = o < l->carried && l->is_carried[o] != 0 && slope_of(m, o) == BBW_VALUE_NONE;
    if (outputs[o] != BBW_VALUE_NONE || !is_shape) { continue; } /* its gradient begins as zeros */
    BBW_TRY(bbw_body_new_value(m->body, NULL, m->index, &outputs[o], m->err));
  }
  l->kept = outputs + before;
  for (uint32_t i = 0; i < kept; i++) { BBW_TRY(bbw_body_new_value(m->body, NULL, m->index, &l->kept[i], m->err)); }
  bbw_op_node *node = bbw_body_node_at(m->body, m->index);
  node->bodies = bodies;
  node->outputs = outputs;
  node->output_count = before + kept;
  if (l->first_in > 0) { return BBW_OK; }
  bbw_scan_params *params = bbw_arena_array(
      arena, 1, sizeof *params); /* of lists that are too long nothing is for the new outputs */
  if (params == NULL) { return no_memory(m); }
  *params = *(const bbw_scan_params *)node->params;
  if (params->output_axis_count > (int32_t)l->scanned_out) { params->output_axis_count = (int32_t)l->scanned_out; }
  if (params->output_direction_count > (int32_t)l->scanned_out) {
    params->output_direction_count = (int32_t)l->scanned_out;
  }
  node->params = params;
  return BBW_OK;
}

static int64_t item(const int64_t *list, int32_t count, uint32_t i) { return (int32_t)i < count ? list[i] : 0; }

/* The Scan that goes back, while it is made: ports of its body beside the inputs of the node. */
typedef struct back {
  bbw_body *body;
  bbw_scan_params *params;
  uint32_t inputs[BBW_GRAPH_PORTS_MAX];  /* of the node */
  uint32_t input_count;                  /* so many of them carried, then scanned */
  bbw_port ports[BBW_GRAPH_PORTS_MAX];   /* of the body's inputs */
  uint32_t results[BBW_GRAPH_PORTS_MAX]; /* values of the body */
  uint32_t places[BBW_GRAPH_PORTS_MAX];  /* whose gradient a result is: input of the forward node */
  uint32_t result_count;
  uint32_t roots[BBW_GRAPH_PORTS_MAX], slopes[BBW_GRAPH_PORTS_MAX], root_count;
  uint32_t wanted[BBW_GRAPH_PORTS_MAX], gradients[BBW_GRAPH_PORTS_MAX];
} back;

/* One more input of the body, for that value of the node's body; inner is BBW_VALUE_NONE for one that is made. */
static bbw_status add_input(const maker *m, back *b, uint32_t outer, bbw_port port, uint32_t *inner) {
  if (b->input_count >= BBW_GRAPH_PORTS_MAX) { return refuse(m, "too many values for its gradient"); }
  if (*inner == BBW_VALUE_NONE) { BBW_TRY(bbw_body_new_value(b->body, NULL, BBW_VALUE_NONE, inner, m->err)); }
  port.value = *inner;
  b->ports[b->input_count] = port;
  b->inputs[b->input_count++] = outer;
  return BBW_OK;
}

/* A scanned one: an iteration reads it from the end, unless the way forward did. */
static bbw_status add_scanned(const maker *m, back *b, uint32_t outer, bbw_port port, uint32_t inner, int64_t axis,
                              bool was_back) {
  bbw_scan_params *p = b->params;
  BBW_TRY(add_input(m, b, outer, port, &inner));
  p->input_axes[p->scan_inputs] = axis;
  p->input_directions[p->scan_inputs++] = was_back ? 0 : 1;
  return BBW_OK;
}

static bbw_status want(const maker *m, back *b, uint32_t place, uint32_t value) {
  if (b->result_count >= BBW_GRAPH_PORTS_MAX) { return refuse(m, "too many values for its gradient"); }
  b->places[b->result_count] = place;
  b->wanted[b->result_count++] = value;
  return BBW_OK;
}

/* Carried: gradients of what is carried, then sums over the iterations for the captures.  sums[i] is the input of result i that is added to; BBW_VALUE_NONE for the others. */
static bbw_status add_carried(const maker *m, const loop *l, const uint8_t *is_needed, back *b, uint32_t *sums) {
  const bbw_body *from = l->forward;
  const bbw_op_node *node = bbw_body_node_at(m->body, m->index);
  const bbw_port any = {.value = BBW_VALUE_NONE};
  for (uint32_t i = 0; i < l->carried; i++) {
    if (l->is_carried[i] == 0) { continue; }
    uint32_t start = slope_of(m, i), like = node->outputs[i], slope = BBW_VALUE_NONE;
    if (start == BBW_VALUE_NONE) {
      BBW_TRY(zeros_like(m, m->body, like, &start));
      node = bbw_body_node_at(m->body, m->index);
    }
    BBW_TRY(add_input(m, b, start, any, &slope));
    sums[b->result_count] = BBW_VALUE_NONE;
    BBW_TRY(want(m, b, l->first_in + i, from->inputs[l->first_in + i].value));
    b->roots[b->root_count] = from->outputs[l->first_out + i].value;
    b->slopes[b->root_count++] = slope;
  }
  for (size_t i = 0; i < from->captures.count; i++) {
    const bbw_capture *c = BBW_VEC_AT(&from->captures, bbw_capture, i);
    uint32_t start, sum = BBW_VALUE_NONE;
    if (is_needed[c->value] == 0) { continue; }
    BBW_TRY(zeros_like(m, m->body, m->node->inputs[c->position], &start));
    BBW_TRY(add_input(m, b, start, any, &sum));
    if (b->result_count < BBW_GRAPH_PORTS_MAX) { sums[b->result_count] = sum; }
    BBW_TRY(want(m, b, c->position, c->value));
  }
  return BBW_OK;
}

/* Scanned: what went into the iteration, and the gradients of what came out of it. */
static bbw_status add_scans(const maker *m, const loop *l, const uint8_t *is_needed, back *b) {
  static const bbw_scan_params plain;
  const bbw_body *from = l->forward;
  const bbw_scan_params *p = l->first_in > 0 ? &plain : m->node->params;
  uint32_t kept = l->first_in + l->carried;
  for (uint32_t i = 0; i < kept; i++) {
    BBW_TRY(add_scanned(m, b, l->kept[i], from->inputs[i], from->inputs[i].value, 0, false));
  }
  for (uint32_t i = 0; i < l->scanned_in; i++) {
    const bbw_port *port = &from->inputs[kept + i];
    BBW_TRY(add_scanned(m, b, m->node->inputs[kept + i], *port, port->value,
                        item(p->input_axes, p->input_axis_count, i),
                        item(p->input_directions, p->input_direction_count, i) == 1));
  }
  for (uint32_t i = 0; i < l->scanned_out; i++) {
    uint32_t outer = slope_of(m, l->carried + i), slope, value = from->outputs[l->first_out + l->carried + i].value;
    if (outer == BBW_VALUE_NONE || is_needed[value] == 0) { continue; }
    BBW_TRY(bbw_body_new_value(b->body, NULL, BBW_VALUE_NONE, &slope, m->err));
    BBW_TRY(add_scanned(m, b, outer, (bbw_port){0}, slope, item(p->output_axes, p->output_axis_count, i),
                        item(p->output_directions, p->output_direction_count, i) == 1));
    b->roots[b->root_count] = value;
    b->slopes[b->root_count++] = slope;
  }
  for (uint32_t i = 0; i < l->scanned_in; i++) { /* the results that are scanned, in the order of the lists */
    const bbw_port *port = &from->inputs[kept + i];
    bbw_scan_params *to = b->params;
    if (!wants(m, kept + i) || !is_real(port)) { continue; }
    BBW_TRY(want(m, b, kept + i, port->value));
    to->output_axes[to->output_axis_count++] = item(p->input_axes, p->input_axis_count, i);
    to->output_directions[to->output_direction_count++] = 1 -
                                                          (item(p->input_directions, p->input_direction_count, i) == 1);
  }
  return BBW_OK;
}

/* The results of the body: sums are added to, what no root depends on is 0. */
static bbw_status set_results(const maker *m, const loop *l, back *b, const uint32_t *sums, uint32_t carried) {
  for (uint32_t i = 0; i < b->result_count; i++) {
    uint32_t sum = i < carried ? sums[i] : BBW_VALUE_NONE, gradient = b->gradients[i];
    if (sum == BBW_VALUE_NONE && gradient == BBW_VALUE_NONE) {
      BBW_TRY(zeros_like(m, b->body, b->wanted[i], &gradient));
    } else if (sum != BBW_VALUE_NONE && gradient != BBW_VALUE_NONE) {
      const uint32_t both[] = {sum, gradient};
      bbw_new_node add = {.op = bbw_onnx_op_find(BBW_STR(""), BBW_STR("Add"), 21, NULL),
                          .name = m->node->name,
                          .opset = 21,
                          .inputs = both,
                          .input_count = 2,
                          .output_count = 1,
                          .outputs = &gradient};
      gradient = 0;
      BBW_TRY(bbw_body_append(m->program, b->body, &add, m->err));
    } else if (gradient == BBW_VALUE_NONE) {
      gradient = sum;
    }
    b->results[i] = gradient;
  }
  BBW_TRY(bbw_body_set_outputs(m->program, b->body, b->results, b->result_count, m->err));
  for (uint32_t i = carried; i < b->result_count; i++) { /* what rows are when there are none */
    bbw_port *port = &b->body->outputs[i];
    *port = l->forward->inputs[b->places[i]];
    port->value = b->results[i];
    port->dtype = BBW_DTYPE_F32;
  }
  return BBW_OK;
}

/* The node, with the captures of the forward one behind its own inputs. */
static bbw_status append_back(const maker *m, const loop *l, back *b) {
  const bbw_op_node *node = m->node;
  uint32_t captures = node->input_count - l->capture_at, count = b->input_count;
  uint32_t *inputs = numbers(m, (size_t)count + captures), *outputs = numbers(m, b->result_count);
  bbw_body **bodies = bbw_arena_array(&m->program->arena, 1, sizeof(bbw_body *));
  bbw_port *ports = bbw_arena_array(&m->program->arena, count, sizeof *ports);
  if (inputs == NULL || outputs == NULL || bodies == NULL || ports == NULL) { return no_memory(m); }
  memcpy(ports, b->ports, count * sizeof *ports);
  b->body->inputs = ports;
  b->body->input_count = count;
  bodies[0] = b->body;
  memcpy(inputs, b->inputs, count * sizeof *inputs);
  for (uint32_t i = 0; i < captures; i++) { inputs[count + i] = node->inputs[l->capture_at + i]; }
  for (size_t i = 0; i < b->body->captures.count; i++) {
    bbw_capture *c = BBW_VEC_AT(&b->body->captures, bbw_capture, i);
    c->position = c->position - l->capture_at + count;
  }
  bbw_new_node made = {.op = bbw_onnx_op_find(BBW_STR(""), BBW_STR("Scan"), 21, NULL),
                       .name = node->name,
                       .opset = 21,
                       .params = b->params,
                       .params_bytes = sizeof *b->params,
                       .inputs = inputs,
                       .input_count = count + captures,
                       .output_count = b->result_count,
                       .outputs = outputs,
                       .bodies = bodies,
                       .body_count = 1};
  memset(outputs, 0, b->result_count * sizeof *outputs);
  BBW_TRY(bbw_body_append(m->program, m->body, &made, m->err));
  for (uint32_t i = 0; i < b->result_count; i++) {
    if (wants(m, b->places[i])) { m->made[b->places[i]] = outputs[i]; }
  }
  return BBW_OK;
}

static bbw_status of_loop(const maker *m) {
  loop l = {0};
  BBW_TRY(read_loop(m, &l));
  const uint8_t *is_needed = find_carried(m, &l);
  back *b = bbw_arena_array(m->scratch, 1, sizeof *b);
  uint32_t *sums = numbers(m, BBW_GRAPH_PORTS_MAX);
  if (is_needed == NULL || b == NULL || sums == NULL) { return no_memory(m); }
  b->params = bbw_arena_array(&m->program->arena, 1, sizeof *b->params);
  if (b->params == NULL) { return no_memory(m); }
  BBW_TRY(keep_states(m, &l));
  BBW_TRY(bbw_body_clone(m->program, l.forward, &b->body, m->err));
  BBW_TRY(add_carried(m, &l, is_needed, b, sums));
  uint32_t carried = b->result_count;
  BBW_TRY(add_scans(m, &l, is_needed, b));
  b->params->input_axis_count = b->params->input_direction_count = (int32_t)b->params->scan_inputs;
  if (b->result_count == 0 || b->root_count == 0) { return BBW_OK; }
  BBW_TRY(bbw_gradient_build(m->program, b->body, b->roots, b->slopes, b->root_count, b->wanted, b->result_count,
                             b->gradients, m->err));
  BBW_TRY(set_results(m, &l, b, sums, carried));
  return append_back(m, &l, b);
}

bbw_status bbw_gradient_graphs(bbw_program *program, bbw_body *body, const bbw_op_node *node, uint32_t index,
                               const uint32_t *slopes, const uint8_t *is_needed, uint32_t *made, bbw_error *err) {
  bbw_arena scratch; /* its own: of many loops in one body only one is in work */
  const maker m = {program, body, node, index, slopes, is_needed, made, &scratch, err};
  bbw_arena_init(&scratch, program->mem);
  for (uint32_t i = 0; i < node->input_count; i++) { made[i] = BBW_VALUE_NONE; }
  bbw_status rv = strcmp(node->op->name, "If") == 0 ? of_if(&m) : of_loop(&m);
  bbw_arena_free(&scratch);
  return rv;
}
