#include "autodiff/gradient.h"

#include <string.h>

#include "base/mem.h"
#include "onnx/ops.h"
#include "onnx/params.h"

/* Arguments of one operator in a rule, and inputs of a node that a rule may pass on. */
#define ARGUMENTS_MAX 256u

static const bbw_gradient_row rows[] = {
#define G(domain, name, ...) {domain, #name, {__VA_ARGS__}},
#include "autodiff/gradients.def"
#undef G
};
#define ROW_COUNT (sizeof rows / sizeof rows[0])

const bbw_gradient_row *bbw_gradient_row_at(size_t index) { return index < ROW_COUNT ? &rows[index] : NULL; }

static const bbw_gradient_row *row_of(const bbw_onnx_op *op) {
  for (size_t i = 0; i < ROW_COUNT; i++) {
    if (strcmp(rows[i].name, op->name) == 0 && strcmp(rows[i].domain, op->domain) == 0) { return &rows[i]; }
  }
  return NULL;
}

/* The text for an input; NULL: there is none.  Rows that serve all inputs at once give their only text. */
static const char *rule_of(const bbw_onnx_op *op, const bbw_gradient_row *row, uint32_t input) {
  if (row == NULL) { return NULL; }
  uint32_t count = 0;
  while (count < sizeof row->rules / sizeof row->rules[0] && row->rules[count] != NULL) { count++; }
  bool is_joint = count > 0 && (row->rules[0][0] == '=' || row->rules[0][0] == '#');
  if (is_joint) {
    bool is_none = input < count && (row->rules[input][0] == '\0' || row->rules[input][0] == '!');
    return row->rules[is_none ? input : 0];
  }
  if (input < count) { return row->rules[input]; }
  return op->in_max == BBW_OP_ANY_COUNT && count > 0 ? row->rules[count - 1] : NULL;
}

bool bbw_gradient_may_flow(const bbw_onnx_op *op, uint32_t input) {
  const bbw_gradient_row *row = row_of(op);
  const char *rule = rule_of(op, row, input);
  return row == NULL || (rule != NULL && rule[0] != '\0' && rule[0] != '!');
}

/* ---- nodes ---- */

bbw_status bbw_body_new_value(bbw_body *body, bbw_constant *constant, uint32_t producer, uint32_t *out,
                              bbw_error *err) {
  bbw_body_value *value = bbw_vec_push(&body->values);
  if (value == NULL) { return bbw_error_set(err, BBW_E_NOMEM); }
  *value = (bbw_body_value){.constant = constant, .producer = producer};
  *out = (uint32_t)(body->values.count - 1);
  return BBW_OK;
}

bbw_status bbw_body_append(bbw_program *program, bbw_body *body, const bbw_new_node *made, bbw_error *err) {
  uint32_t *inputs = bbw_arena_array(&program->arena, made->input_count, sizeof *inputs);
  uint32_t *outputs = bbw_arena_array(&program->arena, made->output_count, sizeof *outputs);
  if (inputs == NULL || outputs == NULL) { return bbw_error_set(err, BBW_E_NOMEM); }
  uint32_t index = (uint32_t)body->nodes.count;
  if (index >= 4 * BBW_ONNX_NODES_MAX) { return bbw_error_set(err, BBW_E_LIMIT); }
  for (uint32_t o = 0; o < made->output_count; o++) {
    if (made->outputs[o] != BBW_VALUE_NONE) { BBW_TRY(bbw_body_new_value(body, NULL, index, &made->outputs[o], err)); }
    outputs[o] = made->outputs[o];
  }
  bbw_op_node *node = bbw_vec_push(&body->nodes);
  if (node == NULL) { return bbw_error_set(err, BBW_E_NOMEM); }
  *node = (bbw_op_node){.op = made->op,
                        .name = made->name,
                        .opset = made->opset,
                        .inputs = inputs,
                        .input_count = made->input_count,
                        .outputs = outputs,
                        .output_count = made->output_count,
                        .params = made->params,
                        .params_bytes = made->params_bytes,
                        .bodies = made->bodies,
                        .body_count = made->body_count};
  for (uint32_t i = 0; i < made->input_count; i++) {
    inputs[i] = made->inputs[i];
    if (inputs[i] != BBW_VALUE_NONE) { bbw_body_retain_value(body, inputs[i]); }
  }
  return BBW_OK;
}

bbw_status bbw_body_clone(bbw_program *program, const bbw_body *body, bbw_body **out, bbw_error *err) {
  bbw_body *made = bbw_arena_array(&program->arena, 1, sizeof *made);
  bbw_body **slot = made != NULL ? bbw_vec_push(&program->bodies) : NULL;
  if (slot == NULL) { return bbw_error_set(err, BBW_E_NOMEM); }
  *slot = made;
  *made = *body;
  bbw_vec_init(&made->values, sizeof(bbw_body_value), program->mem);
  bbw_vec_init(&made->nodes, sizeof(bbw_op_node), program->mem);
  bbw_vec_init(&made->captures, sizeof(bbw_capture), program->mem);
  if (!bbw_vec_append(&made->values, body->values.items, body->values.count) ||
      !bbw_vec_append(&made->nodes, body->nodes.items, body->nodes.count) ||
      !bbw_vec_append(&made->captures, body->captures.items, body->captures.count)) {
    return bbw_error_set(err, BBW_E_NOMEM);
  }
  for (uint32_t i = 0; i < made->nodes.count; i++) {
    bbw_op_node *node = bbw_body_node_at(made, i);
    uint32_t *outputs = bbw_arena_array(&program->arena, node->output_count, sizeof *outputs);
    if (outputs == NULL) { return bbw_error_set(err, BBW_E_NOMEM); }
    memcpy(outputs, node->outputs, node->output_count * sizeof *outputs);
    node->outputs = outputs;
    node->borrows_packed = node->packed != NULL;
  }
  for (uint32_t v = 0; v < made->values.count; v++) {
    bbw_body_value *value = bbw_body_value_at(made, v);
    if (value->constant != NULL) { value->constant->readers += value->readers; }
  }
  *out = made;
  return BBW_OK;
}

bbw_status bbw_body_set_outputs(bbw_program *program, bbw_body *body, const uint32_t *values, uint32_t count,
                                bbw_error *err) {
  bbw_port *ports = bbw_arena_array(&program->arena, count, sizeof *ports);
  if (ports == NULL) { return bbw_error_set(err, BBW_E_NOMEM); }
  for (uint32_t i = 0; i < count; i++) {
    for (uint32_t k = 0; k < body->output_count; k++) {
      if (body->outputs[k].value == values[i]) { ports[i] = body->outputs[k]; }
    }
    ports[i].value = values[i];
    bbw_body_retain_value(body, values[i]);
  }
  for (uint32_t i = 0; i < body->output_count; i++) { bbw_body_release_value(program, body, body->outputs[i].value); }
  body->outputs = ports;
  body->output_count = count;
  return BBW_OK;
}

/* ---- rules ---- */

typedef struct emitter {
  bbw_program *program;
  bbw_body *body;
  bbw_arena *scratch;
  bbw_op_node node;    /* the forward node, a copy: nodes move when one is appended */
  uint32_t index;      /* of it */
  uint32_t input;      /* whose gradient is made */
  uint32_t *gradients; /* of each forward value, or BBW_VALUE_NONE */
  uint32_t value_count;
  const char *at; /* in the text */
  bbw_error *err;
} emitter;

static bbw_status refuse(emitter *e, const char *detail) {
  return bbw_op_node_error(e->err, BBW_E_ONNX_UNSUPPORTED, &e->node, NULL, (int32_t)e->input, detail);
}

static uint32_t gradient_of(const emitter *e, uint32_t v) {
  return v != BBW_VALUE_NONE && v < e->value_count ? e->gradients[v] : BBW_VALUE_NONE;
}

static uint32_t item(const uint32_t *list, uint32_t count, uint32_t i) { return i < count ? list[i] : BBW_VALUE_NONE; }

static bool is_digit(char c) { return c >= '0' && c <= '9'; }
static bool is_name(char c) { return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || is_digit(c); }

/* A constant without dimensions. */
static bbw_status new_number(emitter *e, double number, uint32_t *out) {
  bbw_array shape = {0};
  bbw_constant *made;
  bbw_array_shape(&shape, BBW_DTYPE_F32, 0, NULL);
  BBW_TRY(bbw_program_constant(e->program, &shape, &made, e->err));
  *(float *)made->array.data = (float)number;
  return bbw_body_new_value(e->body, made, BBW_VALUE_NONE, out, e->err);
}

static double read_number(emitter *e) {
  bool is_negative = *e->at == '-';
  double number = 0.0, unit = 1.0;
  if (is_negative) { e->at++; }
  for (; is_digit(*e->at); e->at++) { number = number * 10.0 + (*e->at - '0'); }
  if (*e->at == '.') {
    for (e->at++; is_digit(*e->at); e->at++) {
      number = number * 10.0 + (*e->at - '0');
      unit *= 10.0;
    }
  }
  return (is_negative ? -number : number) / unit;
}

/* The operator of a rule; all of them exist, a test asks for each. */
static const bbw_onnx_op *operator_of(bbw_str name) {
  const bbw_onnx_op *op = bbw_onnx_op_find(BBW_STR("bbw"), name, 1, NULL);
  return op != NULL ? op : bbw_onnx_op_find(BBW_STR(""), name, 21, NULL);
}

/* Attributes at their defaults. */
static bbw_status default_params(emitter *e, const bbw_onnx_op *op, uint32_t inputs, bbw_new_node *made) {
  static const bbw_onnx_node nothing;
  if (op->prepare == NULL) { return BBW_OK; }
  bbw_prep prep = {.op = op,
                   .node = &nothing,
                   .opset = made->opset,
                   .input_count = inputs,
                   .output_count = 1,
                   .arena = &e->program->arena};
  bbw_status rv = op->prepare(&prep);
  made->params = prep.params;
  made->params_bytes = prep.params_bytes;
  return rv == BBW_OK ? BBW_OK : bbw_error_set(e->err, rv);
}

/* The params of the forward node, as a copy: the optimizer may change those of the node. */
static bbw_status forward_params(emitter *e, bbw_new_node *made) {
  if (e->node.params == NULL) { return BBW_OK; }
  made->params = bbw_arena_array(&e->program->arena, 1, e->node.params_bytes);
  if (made->params == NULL) { return bbw_error_set(e->err, BBW_E_NOMEM); }
  memcpy(made->params, e->node.params, e->node.params_bytes);
  made->params_bytes = e->node.params_bytes;
  return BBW_OK;
}

/* The forward operator itself, for one that calls it. */
static bbw_status forward_itself(emitter *e, bbw_new_node *made) {
  bbw_forward *f = bbw_arena_array(&e->program->arena, 1, sizeof *f);
  if (f == NULL) { return bbw_error_set(e->err, BBW_E_NOMEM); }
  *f = (bbw_forward){e->node.op, e->node.params, e->node.opset};
  made->params = f;
  made->params_bytes = sizeof *f;
  return BBW_OK;
}

/* One result of an operator without attributes, or with those. */
static bbw_status node_of(emitter *e, const bbw_onnx_op *op, void *params, size_t params_bytes, const uint32_t *inputs,
                          uint32_t input_count, uint32_t *out) {
  bbw_new_node made = {.op = op,
                       .name = e->node.name,
                       .opset = op->until,
                       .params = params,
                       .params_bytes = params_bytes,
                       .inputs = inputs,
                       .input_count = input_count,
                       .output_count = 1,
                       .outputs = out};
  *out = 0;
  return bbw_body_append(e->program, e->body, &made, e->err);
}

static bbw_status binary(emitter *e, bbw_str name, uint32_t a, uint32_t b, uint32_t *out) {
  const uint32_t inputs[] = {a, b};
  return node_of(e, operator_of(name), NULL, 0, inputs, 2, out);
}

static bbw_status term(emitter *e, uint32_t *out);

/* Output i of the forward node.  One that nobody reads is made again: it is known nowhere else. */
static bbw_status output_of(emitter *e, uint32_t i, uint32_t *out) {
  if (i >= e->node.output_count) { return refuse(e, "its gradient needs an output that the node does not name"); }
  if (e->node.outputs[i] == BBW_VALUE_NONE) {
    BBW_TRY(bbw_body_new_value(e->body, NULL, e->index, &e->node.outputs[i], e->err));
  }
  *out = e->node.outputs[i];
  return BBW_OK;
}

/* Zeros in the shape of an output that has no gradient. */
static bbw_status new_zeros(emitter *e, uint32_t i, uint32_t *out) {
  uint32_t like;
  BBW_TRY(output_of(e, i, &like));
  return node_of(e, operator_of(BBW_STR("ZerosLike")), NULL, 0, &like, 1, out);
}

/* The arguments of an operator; at is behind the opening bracket. */
static bbw_status arguments(emitter *e, uint32_t *list, uint32_t *count) {
  *count = 0;
  for (;;) {
    if (*e->at == '*') { /* several */
      char which = e->at[1];
      uint32_t n = which == 'x' ? e->node.input_count : which == 'h' ? e->node.op->out_max : e->node.output_count;
      if (*count + n > ARGUMENTS_MAX) { return refuse(e, "too many inputs for its gradient"); }
      for (uint32_t i = 0; i < n; i++) {
        uint32_t *to = &list[(*count)++];
        uint32_t result = item(e->node.outputs, e->node.output_count, i);
        *to = which == 'x' ? e->node.inputs[i] : which == 'y' ? result : gradient_of(e, result);
        if (which == 'g' && *to == BBW_VALUE_NONE) { BBW_TRY(new_zeros(e, i, to)); }
      }
      e->at += 2;
    } else {
      BBW_TRY(term(e, &list[*count]));
      (*count)++;
    }
    if (*e->at++ != ',') { return BBW_OK; } /* the closing bracket */
  }
}

/* An operator with its arguments, as a node with output_count outputs. */
static bbw_status application(emitter *e, uint32_t output_count, uint32_t *outputs) {
  bbw_str name = {e->at, 0};
  while (is_name(e->at[name.len])) { name.len++; }
  e->at += name.len;
  const bbw_onnx_op *op = operator_of(name);
  bool takes_params = *e->at == '@', takes_all = *e->at == '!';
  if (op == NULL) { return refuse(e, "its gradient needs an operator that is missing"); }
  if (takes_params || takes_all) { e->at++; }
  e->at++; /* the opening bracket */
  uint32_t *list = bbw_arena_array(e->scratch, ARGUMENTS_MAX + 8u, sizeof *list), count;
  if (list == NULL) { return bbw_error_set(e->err, BBW_E_NOMEM); }
  BBW_TRY(arguments(e, list, &count));
  while (count > op->in_min && list[count - 1] == BBW_VALUE_NONE) { count--; }
  bbw_new_node made = {.op = op,
                       .name = e->node.name,
                       .opset = takes_params ? e->node.opset : 21,
                       .inputs = list,
                       .input_count = count,
                       .output_count = output_count,
                       .outputs = outputs};
  BBW_TRY(takes_all      ? forward_itself(e, &made)
          : takes_params ? forward_params(e, &made)
                         : default_params(e, op, count, &made));
  return bbw_body_append(e->program, e->body, &made, e->err);
}

/* One argument; the depth is that of the texts in gradients.def. */
static bbw_status term(emitter *e, uint32_t *out) {
  const bbw_op_node *node = &e->node;
  char c = *e->at;
  *out = 0;
  if (c >= 'A' && c <= 'Z') { return application(e, 1, out); }
  if (c == '-' || is_digit(c)) { return new_number(e, read_number(e), out); }
  e->at++;
  switch (c) {
  case 'g': *out = gradient_of(e, node->outputs[0]); return BBW_OK;
  case 'n': return new_number(e, (double)node->input_count, out);
  case 'x': *out = node->inputs[e->input]; return BBW_OK;
  case '_': *out = BBW_VALUE_NONE; return BBW_OK;
  case 'y':
  case 'z': return output_of(e, (uint32_t)(c - 'y'), out);
  default: *out = item(node->inputs, node->input_count, (uint32_t)(c - 'a')); return BBW_OK;
  }
}

/* One more gradient of a value: the sum of both. */
static bbw_status accumulate(emitter *e, uint32_t v, uint32_t gradient) {
  uint32_t *sum = &e->gradients[v];
  if (*sum == BBW_VALUE_NONE) {
    *sum = gradient;
    return BBW_OK;
  }
  return binary(e, BBW_STR("Add"), *sum, gradient, sum);
}

static bbw_status sum_to(emitter *e, uint32_t v, uint32_t like, uint32_t *out) {
  return binary(e, BBW_STR("SumTo"), v, like, out);
}

/* ---- rules that are functions ---- */

/* Another Gemm, with numbers of its own. */
static bbw_status new_gemm(emitter *e, uint32_t a, bool a_turned, uint32_t b, bool b_turned, uint32_t *out) {
  const uint32_t inputs[] = {a, b};
  bbw_gemm_params *p = bbw_arena_array(&e->program->arena, 1, sizeof *p);
  if (p == NULL) { return bbw_error_set(e->err, BBW_E_NOMEM); }
  *p = (bbw_gemm_params){.alpha = ((const bbw_gemm_params *)e->node.params)->alpha,
                         .beta = 1.0f,
                         .is_a_transposed = a_turned,
                         .is_b_transposed = b_turned};
  return node_of(e, e->node.op, p, sizeof *p, inputs, 2, out);
}

/* y = alpha * op(a) . op(b) + beta * c */
static bbw_status gemm(emitter *e, uint32_t *out) {
  const bbw_gemm_params *p = e->node.params;
  uint32_t a = e->node.inputs[0], b = e->node.inputs[1], g = gradient_of(e, e->node.outputs[0]);
  bool ta = p->is_a_transposed, tb = p->is_b_transposed;
  if (e->input == 0) { return ta ? new_gemm(e, b, tb, g, true, out) : new_gemm(e, g, false, b, !tb, out); }
  if (e->input == 1) { return tb ? new_gemm(e, g, true, a, ta, out) : new_gemm(e, a, !ta, g, false, out); }
  if (p->beta != 1.0f) {
    uint32_t factor;
    BBW_TRY(new_number(e, (double)p->beta, &factor));
    BBW_TRY(binary(e, BBW_STR("Mul"), g, factor, &g));
  }
  return sum_to(e, g, e->node.inputs[2], out);
}

/* Before opset 11 the padding is an attribute of f32, which the positions of elements cannot stand in for. */
static bbw_status pad(emitter *e, uint32_t *out) {
  if (e->node.opset < 11) { return refuse(e, "operator has a gradient from opset 11 on"); }
  e->at = "MoveGrad!(g,a,b,_,d)";
  return term(e, out);
}

/* What was written at a place of the data came from the updates: the gradient is taken from there, and the data have none there.  Indices that name a place twice are for `add`, `mul`,
 * `max` and `min` only, as ONNX says. */
static bbw_status scatter(emitter *e, uint32_t *out) {
  /* The product at the place without this update: by division, where 1 stands for a 0, and nothing where another one is 0, which products of 2 tell. */
#define OTHERS(kind)                                                                                               \
  "Mul(Gather" kind "@(g,b),Where(Less(Div(Gather" kind "@(Scatter" kind                                           \
  "@(Add(ZerosLike(a),1),b,Where(Equal(c,0),2,1)),b),Where(Equal(c,0),2,1)),1.5),Div(Gather" kind "@(Scatter" kind \
  "@(a,b,Where(Equal(c,0),1,c)),b),Where(Equal(c,0),1,c)),0))"
#define TEXTS(kind)                                                                                \
  {                                                                                                \
    {"Scatter" kind "@(g,b,ZerosLike(c))", "Gather" kind "@(g,b)"}, {"g", "Gather" kind "@(g,b)"}, \
        {"Mul(g,Scatter" kind "@(Add(ZerosLike(a),1),b,c))", OTHERS(kind)}, {                      \
      "Where(Equal(a,y),g,0)", "Where(Equal(Gather" kind "@(y,b),c),Gather" kind "@(g,b),0)"       \
    }                                                                                              \
  }
  static const char *const texts[2][4][2] = {TEXTS("Elements"), TEXTS("ND")};
#undef TEXTS
#undef OTHERS
  uint32_t reduction = ((const bbw_gather_params *)e->node.params)->reduction;
  bool is_nd = e->node.op->run == bbw_scatter_nd_run;
  e->at = texts[is_nd][reduction > BBW_SCATTER_MAX ? BBW_SCATTER_MAX : reduction][e->input == 0 ? 0 : 1];
  return term(e, out);
}

static bbw_status roi_align(emitter *e, uint32_t *out) {
  if (((const bbw_roi_params *)e->node.params)->takes_largest != 0) {
    return refuse(e, "operator has a gradient in mode avg only");
  }
  e->at = "RoiAlignGrad@(g,a,b,c)";
  return term(e, out);
}

/* The way back of GatherElements with the indices that were found. */
static bbw_status top_k(emitter *e, uint32_t *out) {
  bbw_gather_params *p = bbw_arena_array(&e->program->arena, 1, sizeof *p);
  bbw_forward *f = bbw_arena_array(&e->program->arena, 1, sizeof *f);
  if (p == NULL || f == NULL) { return bbw_error_set(e->err, BBW_E_NOMEM); }
  p->axis = ((const bbw_lane_params *)e->node.params)->axis;
  *f = (bbw_forward){operator_of(BBW_STR("GatherElements")), p, 13};
  uint32_t inputs[] = {gradient_of(e, e->node.outputs[0]), e->node.inputs[0], 0};
  BBW_TRY(output_of(e, 1, &inputs[2]));
  return node_of(e, operator_of(BBW_STR("MoveGrad")), f, sizeof *f, inputs, 3, out);
}

/* A constant of two numbers. */
static bbw_status new_pair(emitter *e, float first, float second, uint32_t *out) {
  static const size_t two = 2;
  bbw_array shape = {0};
  bbw_constant *made;
  bbw_array_shape(&shape, BBW_DTYPE_F32, 1, &two);
  BBW_TRY(bbw_program_constant(e->program, &shape, &made, e->err));
  ((float *)made->array.data)[0] = first;
  ((float *)made->array.data)[1] = second;
  return bbw_body_new_value(e->body, made, BBW_VALUE_NONE, out, e->err);
}

/* y = off + (on - off) * h with h of zeros and ones: the sum of g * h goes to `on`, the rest of the sum of g to `off`. */
static bbw_status one_hot(emitter *e, uint32_t *out) {
  uint32_t g = gradient_of(e, e->node.outputs[0]), off_on, on_off, none, h, on, all, inputs[3];
  bbw_new_node made = {.op = e->node.op};
  BBW_TRY(new_pair(e, 0.0f, 1.0f, &off_on));
  BBW_TRY(new_pair(e, 1.0f, 0.0f, &on_off));
  BBW_TRY(new_number(e, 0.0, &none));
  BBW_TRY(forward_params(e, &made));
  memcpy(inputs, e->node.inputs, sizeof inputs);
  inputs[2] = off_on;
  BBW_TRY(node_of(e, made.op, made.params, made.params_bytes, inputs, 3, &h));
  BBW_TRY(binary(e, BBW_STR("Mul"), g, h, &h));
  BBW_TRY(sum_to(e, h, none, &on));
  BBW_TRY(sum_to(e, g, none, &all));
  BBW_TRY(binary(e, BBW_STR("Sub"), all, on, &all));
  BBW_TRY(binary(e, BBW_STR("Mul"), on_off, all, &all));
  BBW_TRY(binary(e, BBW_STR("Mul"), off_on, on, &on));
  return binary(e, BBW_STR("Add"), all, on, out);
}

static bool term_has(const bbw_einsum_term *t, uint8_t letter) { return memchr(t->letters, letter, t->count) != NULL; }

/* Another Einsum, from the result's letters and those of the other inputs to those of this one.  Letters that only this one has were summed: they are repeated by an input of
 * ones. */
static bbw_status einsum(emitter *e, uint32_t *out) {
  const bbw_einsum_params *p = e->node.params;
  const bbw_einsum_term *mine = &p->terms[e->input], *result = &p->terms[p->operands];
  bbw_einsum_params *made = bbw_arena_array(&e->program->arena, 1, sizeof *made);
  uint32_t inputs[BBW_EINSUM_OPERANDS_MAX + 1], ones, zeros;
  bool is_alone = false, is_summed = false;
  if (made == NULL) { return bbw_error_set(e->err, BBW_E_NOMEM); }
  for (uint32_t i = 0; i < mine->count; i++) {
    bool is_there = term_has(result, mine->letters[i]);
    is_summed = is_summed || !is_there;
    for (uint32_t k = 0; k < p->operands && !is_there; k++) {
      is_there = k != e->input && term_has(&p->terms[k], mine->letters[i]);
    }
    is_alone = is_alone || !is_there;
    if (memchr(mine->letters, mine->letters[i], i) != NULL) { return refuse(e, "a diagonal has no gradient"); }
    if (i > 0 && mine->letters[i] == BBW_EINSUM_ELLIPSIS) {
      return refuse(e, "an ellipsis behind a letter has no gradient");
    }
  }
  inputs[0] = gradient_of(e, e->node.outputs[0]);
  made->terms[made->operands++] = *result;
  for (uint32_t k = 0; k < p->operands; k++) {
    if (k == e->input) { continue; }
    inputs[made->operands] = e->node.inputs[k];
    made->terms[made->operands++] = p->terms[k];
  }
  if (is_alone) {
    if (made->operands == BBW_EINSUM_OPERANDS_MAX) { return refuse(e, "too many inputs for its gradient"); }
    e->at = "Add(ZerosLike(x),1)";
    BBW_TRY(term(e, &ones));
    inputs[made->operands] = ones;
    made->terms[made->operands++] = *mine;
  }
  made->terms[made->operands] = *mine;
  BBW_TRY(node_of(e, e->node.op, made, sizeof *made, inputs, made->operands, out));
  if (is_summed && !is_alone) { /* the others may repeat an element along an axis that the result does not have */
    e->at = "ZerosLike(x)";
    BBW_TRY(term(e, &zeros));
    BBW_TRY(binary(e, BBW_STR("Add"), *out, zeros, out));
  }
  return sum_to(e, *out, e->node.inputs[e->input], out);
}

static const struct {
  const char *name;
  bbw_status (*make)(emitter *e, uint32_t *out);
} functions[] = {{"#einsum", einsum},       {"#gemm", gemm},       {"#one_hot", one_hot}, {"#pad", pad},
                 {"#roi_align", roi_align}, {"#scatter", scatter}, {"#top_k", top_k}};

static bbw_status by_function(emitter *e, const char *name, uint32_t *out) {
  for (size_t i = 0; i < sizeof functions / sizeof functions[0]; i++) {
    if (strcmp(functions[i].name, name) == 0) { return functions[i].make(e, out); }
  }
  return refuse(e, "its gradient needs an operator that is missing");
}

/* ---- the walk ---- */

void bbw_gradient_mark(const bbw_body *body, uint8_t *is_needed) {
  for (uint32_t i = 0; i < body->nodes.count; i++) {
    const bbw_op_node *node = bbw_body_node_at(body, i);
    bool needs = false;
    for (uint32_t k = 0; k < node->input_count && !needs; k++) {
      uint32_t v = node->inputs[k];
      needs = v != BBW_VALUE_NONE && is_needed[v] && bbw_gradient_may_flow(node->op, k);
    }
    for (uint32_t o = 0; needs && o < node->output_count; o++) {
      if (node->outputs[o] != BBW_VALUE_NONE) { is_needed[node->outputs[o]] = 1; }
    }
  }
}

/* One node gives the gradients of all inputs that need one. */
static bbw_status jointly(emitter *e, const char *rule, const uint8_t *is_needed) {
  uint32_t count = e->node.input_count;
  uint32_t *outputs = bbw_arena_array(e->scratch, count, sizeof *outputs);
  if (outputs == NULL) { return bbw_error_set(e->err, BBW_E_NOMEM); }
  for (uint32_t i = 0; i < count; i++) {
    uint32_t v = e->node.inputs[i];
    outputs[i] = v != BBW_VALUE_NONE && is_needed[v] ? 0 : BBW_VALUE_NONE;
  }
  if (rule[1] == '#') { /* it runs graphs */
    uint32_t *slopes = bbw_arena_array(e->scratch, e->node.output_count, sizeof *slopes);
    if (slopes == NULL) { return bbw_error_set(e->err, BBW_E_NOMEM); }
    for (uint32_t o = 0; o < e->node.output_count; o++) { slopes[o] = gradient_of(e, e->node.outputs[o]); }
    BBW_TRY(bbw_gradient_graphs(e->program, e->body, &e->node, e->index, slopes, is_needed, outputs, e->err));
  } else {
    e->at = rule + 1;
    BBW_TRY(application(e, count, outputs));
  }
  for (uint32_t i = 0; i < count; i++) {
    if (outputs[i] != BBW_VALUE_NONE) { BBW_TRY(accumulate(e, e->node.inputs[i], outputs[i])); }
  }
  return BBW_OK;
}

static bbw_status differentiate(emitter *e, const uint8_t *is_needed) {
  const bbw_gradient_row *row = row_of(e->node.op);
  bool has_gradient = false, is_first_only = true;
  for (uint32_t o = 0; o < e->node.output_count; o++) {
    bool has = gradient_of(e, e->node.outputs[o]) != BBW_VALUE_NONE;
    has_gradient = has_gradient || has;
    is_first_only = is_first_only && (o == 0 || !has);
  }
  if (!has_gradient) { return BBW_OK; }
  for (uint32_t i = 0; i < e->node.input_count; i++) {
    uint32_t v = e->node.inputs[i], made;
    if (v == BBW_VALUE_NONE || !is_needed[v]) { continue; }
    const char *rule = rule_of(e->node.op, row, i);
    e->input = i;
    if (rule == NULL) { return refuse(e, "operator has no gradient for this input: freeze what is in front of it"); }
    if (rule[0] == '\0') { continue; }
    if (rule[0] == '!') {
      return refuse(e, "operator takes this input as constant, but it is made from what is trained");
    }
    if (rule[0] == '=') { return jointly(e, rule, is_needed); }
    if (!is_first_only && strstr(rule, "*g") == NULL) {
      return refuse(e, "operator has a gradient for its first result only");
    }
    bool is_summed = rule[0] == '~';
    e->at = rule + (is_summed ? 1 : 0);
    BBW_TRY(rule[0] == '#' ? by_function(e, rule, &made) : term(e, &made));
    if (is_summed) { BBW_TRY(sum_to(e, made, v, &made)); }
    BBW_TRY(accumulate(e, v, made));
  }
  return BBW_OK;
}

static bbw_status build(emitter *e, const uint32_t *roots, const uint32_t *slopes, size_t root_count,
                        const uint32_t *wanted, size_t count, uint32_t *gradients) {
  uint32_t nodes = (uint32_t)e->body->nodes.count;
  e->value_count = (uint32_t)e->body->values.count;
  e->gradients = bbw_arena_array(e->scratch, e->value_count, sizeof *e->gradients);
  uint8_t *is_needed = bbw_arena_array(e->scratch, e->value_count, 1);
  if (e->gradients == NULL || is_needed == NULL) { return bbw_error_set(e->err, BBW_E_NOMEM); }
  for (uint32_t v = 0; v < e->value_count; v++) { e->gradients[v] = BBW_VALUE_NONE; }
  for (size_t i = 0; i < count; i++) { is_needed[wanted[i]] = 1; }
  bbw_gradient_mark(e->body, is_needed);
  for (size_t i = 0; i < root_count; i++) {
    if (is_needed[roots[i]]) { BBW_TRY(accumulate(e, roots[i], slopes[i])); }
  }
  for (uint32_t i = nodes; i-- > 0;) {
    e->node = *bbw_body_node_at(e->body, i);
    e->index = i;
    BBW_TRY(differentiate(e, is_needed));
  }
  for (size_t i = 0; i < count; i++) { gradients[i] = e->gradients[wanted[i]]; }
  return BBW_OK;
}

bbw_status bbw_gradient_build(bbw_program *program, bbw_body *body, const uint32_t *roots, const uint32_t *slopes,
                              size_t root_count, const uint32_t *wanted, size_t count, uint32_t *gradients,
                              bbw_error *err) {
  bbw_arena scratch;
  bbw_arena_init(&scratch, program->mem);
  emitter e = {.program = program, .body = body, .scratch = &scratch, .err = err};
  bbw_status rv = build(&e, roots, slopes, root_count, wanted, count, gradients);
  bbw_arena_free(&scratch);
  return rv;
}
