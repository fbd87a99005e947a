#include "autodiff/training_graph.h"

#include <string.h>

#include "autodiff/checkpoint.h"
#include "autodiff/gradient.h"
#include "base/bytes.h"
#include "base/mem.h"
#include "onnx/ops.h"

typedef struct maker {
  bbw_training_graph *g;
  const bbw_trainer_options *options;
  const bbw_mem *mem;
  bbw_error *err;
  uint32_t prediction; /* value */
  uint32_t output;     /* value of the output that it is, or that it goes into */
  uint32_t *values;    /* of the parameters, in the arena of the program */
} maker;

static bbw_status no_memory(const maker *m) { return bbw_error_set(m->err, BBW_E_NOMEM); }

static bbw_status refuse(bbw_error *err, const char *option, bbw_str what, const char *detail) {
  bbw_error_set(err, BBW_E_ARG);
  bbw_error_add_str(err, "option", (bbw_str){option, strlen(option)});
  if (what.len > 0) { bbw_error_add_str(err, "value", what); }
  bbw_error_add_str(err, "detail", (bbw_str){detail, strlen(detail)});
  return BBW_E_ARG;
}

/* ---- which initializers are trained ---- */

static bool matches(bbw_str pattern, bbw_str name) {
  if (pattern.len > 0 && pattern.ptr[pattern.len - 1] == '*') {
    return bbw_str_starts_with(name, (bbw_str){pattern.ptr, pattern.len - 1});
  }
  return bbw_str_equal(pattern, name);
}

static bool is_frozen(const bbw_trainer_options *o, bbw_str name) {
  for (size_t i = 0; i < o->freeze_count; i++) {
    if (matches(o->freeze[i], name)) { return true; }
  }
  return false;
}

/* A name that freezes nothing is a mistake that would train what should stay. */
static bbw_status check_freeze(const maker *m, const bbw_body *body) {
  for (size_t i = 0; i < m->options->freeze_count; i++) {
    bool is_known = false;
    for (uint32_t v = 0; v < body->initializer_count && !is_known; v++) {
      is_known = matches(m->options->freeze[i], bbw_body_value_at(body, v)->name);
    }
    if (!is_known) { return refuse(m->err, "freeze", m->options->freeze[i], "the model has no such initializer"); }
  }
  return BBW_OK;
}

/* Marks what a gradient may reach from `root` backwards. */
static uint8_t *reached_from(const bbw_body *body, uint32_t root, bbw_arena *arena) {
  uint8_t *is_reached = bbw_arena_array(arena, body->values.count, 1);
  if (is_reached == NULL) { return NULL; }
  is_reached[root] = 1;
  for (uint32_t i = (uint32_t)body->nodes.count; i-- > 0;) {
    const bbw_op_node *node = bbw_body_node_at(body, i);
    bool is = false;
    for (uint32_t o = 0; o < node->output_count; o++) {
      is = is || (node->outputs[o] != BBW_VALUE_NONE && is_reached[node->outputs[o]]);
    }
    for (uint32_t k = 0; is && k < node->input_count; k++) {
      if (node->inputs[k] != BBW_VALUE_NONE && bbw_gradient_may_flow(node->op, k)) { is_reached[node->inputs[k]] = 1; }
    }
  }
  return is_reached;
}

/* Marks mean and variance of the BatchNormalization nodes on the way that learn: nobody else reads them, and neither is frozen. */
static bool is_trainable(const maker *m, const bbw_body_value *value);
static bool is_batch_norm(const bbw_op_node *node) {
  return node->op->run == bbw_batch_norm_run && !((const bbw_batch_norm_params *)node->params)->is_training &&
         node->output_count == 1;
}
static bool learns_statistics(const maker *m, const bbw_body *body, const bbw_op_node *node) {
  bool learns = is_batch_norm(node) && node->inputs[3] != node->inputs[4];
  for (uint32_t k = 3; learns && k < 5; k++) {
    const bbw_body_value *value = bbw_body_value_at(body, node->inputs[k]);
    learns = node->inputs[k] < body->initializer_count && value->readers == 1 && is_trainable(m, value);
  }
  return learns;
}

static uint8_t *statistics_of(const maker *m, const bbw_body *body, const uint8_t *is_reached, bbw_arena *arena) {
  uint8_t *is_statistic = bbw_arena_array(arena, body->values.count, 1);
  for (uint32_t i = 0; is_statistic != NULL && i < body->nodes.count; i++) {
    const bbw_op_node *node = bbw_body_node_at(body, i);
    if (!is_batch_norm(node) || node->outputs[0] == BBW_VALUE_NONE || !is_reached[node->outputs[0]]) { continue; }
    if (!learns_statistics(m, body, node)) { continue; }
    is_statistic[node->inputs[3]] = is_statistic[node->inputs[4]] = 1;
  }
  return is_statistic;
}

static bool is_trainable(const maker *m, const bbw_body_value *value) {
  const bbw_constant *c = value->constant;
  return c != NULL && c->array.dtype == BBW_DTYPE_F32 && c->array.rank > 0 && c->array.count > 0 &&
         c->array.data != NULL && !is_frozen(m->options, value->name);
}

/* ---- the prediction ---- */

/* The value that the loss reads: behind a last Softmax or Sigmoid its input, where the loss contains it. */
static uint32_t logits_of(const maker *m, const bbw_body *body, const bbw_port *port) {
  uint32_t producer = bbw_body_value_at(body, port->value)->producer;
  if (producer == BBW_VALUE_NONE) { return port->value; }
  const bbw_op_node *node = bbw_body_node_at(body, producer);
  if (node->op->domain[0] != '\0' || node->outputs[0] != port->value) { return port->value; }
  if (m->options->loss == BBW_TRAINER_BCE_WITH_LOGITS && strcmp(node->op->name, "Sigmoid") == 0) {
    return node->inputs[0];
  }
  if (m->options->loss != BBW_TRAINER_SOFTMAX_CROSS_ENTROPY || strcmp(node->op->name, "Softmax") != 0) {
    return port->value;
  }
  int64_t axis = ((const bbw_lane_params *)node->params)->axis;
  bool is_last = axis == -1 || (port->has_shape && axis + 1 == (int64_t)port->rank);
  return is_last ? node->inputs[0] : port->value;
}

static bbw_status find_prediction(maker *m, const bbw_body *body) {
  bbw_str name = m->options->output;
  for (uint32_t i = 0; i < body->output_count; i++) {
    if (name.len > 0 && !bbw_str_equal(body->outputs[i].name, name)) { continue; }
    m->output = body->outputs[i].value;
    m->prediction = logits_of(m, body, &body->outputs[i]);
    m->g->output = i;
    m->g->is_inner = m->prediction != m->output;
    return BBW_OK;
  }
  return refuse(m->err, "output", name, "the model has no such output");
}

/* ---- parameters as inputs ---- */

/* Weights are [out, in, kernel ...]; those of ConvTranspose, MatMul and of a Gemm that does not turn them have `in` first. */
static void set_fans(const bbw_body *body, uint32_t v, const bbw_array *array, bbw_trainer_parameter *p) {
  bool is_in_first = false, is_product = false;
  if (array->rank < 2) { return; }
  for (uint32_t i = 0; i < body->nodes.count; i++) {
    const bbw_op_node *node = bbw_body_node_at(body, i);
    if (node->input_count < 2 || node->inputs[1] != v) { continue; }
    bool is_matmul = node->op->run == bbw_matmul_run, is_gemm = node->op->run == bbw_gemm_run;
    is_product = is_matmul || is_gemm;
    is_in_first = is_matmul || node->op->ctx == &bbw_conv_is_transpose ||
                  (is_gemm && !((const bbw_gemm_params *)node->params)->is_b_transposed);
  }
  uint32_t first = is_product ? array->rank - 2 : 0;
  size_t kernel = is_product ? 1 : bbw_dims_product(array->dims, 2, array->rank);
  p->fan_in = array->dims[is_in_first ? first : first + 1] * kernel;
  p->fan_out = array->dims[is_in_first ? first + 1 : first] * kernel;
}

static bbw_status find_parameters(maker *m, bbw_body *body, bbw_arena *scratch) {
  bbw_training_graph *g = m->g;
  const uint8_t *is_reached = reached_from(body, m->prediction, scratch);
  g->parameters = bbw_arena_array(&g->program->arena, body->initializer_count, sizeof *g->parameters);
  m->values = bbw_arena_array(scratch, body->initializer_count, sizeof *m->values);
  const uint8_t *is_statistic = is_reached != NULL ? statistics_of(m, body, is_reached, scratch) : NULL;
  if (is_statistic == NULL || g->parameters == NULL || m->values == NULL) { return no_memory(m); }
  bool has_weight = false;
  for (uint32_t v = 0; v < body->initializer_count; v++) {
    const bbw_body_value *value = bbw_body_value_at(body, v);
    if ((!is_reached[v] && !is_statistic[v]) || !is_trainable(m, value)) { continue; }
    has_weight = has_weight || !is_statistic[v];
    const bbw_array *array = &value->constant->array;
    size_t *dims = bbw_arena_array(&g->program->arena, array->rank, sizeof *dims);
    if (dims == NULL) { return no_memory(m); }
    memcpy(dims, array->dims, array->rank * sizeof *dims);
    g->parameters[g->parameter_count] = (bbw_trainer_parameter){.name = value->name,
                                                                .offset = g->value_count,
                                                                .count = array->count,
                                                                .rank = array->rank,
                                                                .dims = dims,
                                                                .is_statistic = is_statistic[v] != 0};
    set_fans(body, v, array, &g->parameters[g->parameter_count]);
    m->values[g->parameter_count++] = v;
    g->value_count += array->count; /* fits: the numbers are in the file */
  }
  if (!has_weight) {
    bbw_error_set(m->err, BBW_E_EMPTY);
    bbw_error_add_str(m->err, "detail", BBW_STR("no initializer is left to train"));
    return BBW_E_EMPTY;
  }
  g->initial = bbw_mem_array(m->mem, g->value_count, sizeof *g->initial);
  return g->initial != NULL ? BBW_OK : no_memory(m);
}

/* Room for the inputs of the model, labels and parameters; those of the model are there. */
static bbw_status widen_inputs(const maker *m, bbw_body *body) {
  const bbw_training_graph *g = m->g;
  bbw_port *ports = bbw_arena_array(&g->program->arena, body->input_count + 2u + g->parameter_count, sizeof *ports);
  if (ports == NULL) { return no_memory(m); }
  if (body->input_count > 0) { memcpy(ports, body->inputs, body->input_count * sizeof *ports); }
  body->inputs = ports;
  return BBW_OK;
}

static bbw_status new_input(const maker *m, bbw_body *body, uint32_t *value) {
  bbw_body_value *made = bbw_vec_push(&body->values);
  if (made == NULL) { return no_memory(m); }
  *made = (bbw_body_value){.producer = BBW_VALUE_NONE};
  *value = (uint32_t)(body->values.count - 1);
  body->inputs[body->input_count++] = (bbw_port){.value = *value};
  return BBW_OK;
}

static void add_parameters(const maker *m, bbw_body *body) {
  for (uint32_t i = 0; i < m->g->parameter_count; i++) {
    body->inputs[body->input_count++] = (bbw_port){.value = m->values[i], .dtype = BBW_DTYPE_F32};
  }
}

/* Takes the numbers out of the constants. */
static bbw_status free_constants(const maker *m, bbw_body *body) {
  bbw_array *shapes = bbw_arena_array(&m->g->program->arena, m->g->parameter_count, sizeof *shapes);
  if (shapes == NULL) { return no_memory(m); }
  for (uint32_t i = 0; i < m->g->parameter_count; i++) {
    bbw_body_value *value = bbw_body_value_at(body, m->values[i]);
    memcpy(m->g->initial + m->g->parameters[i].offset, value->constant->array.data,
           m->g->parameters[i].count * sizeof(float));
    shapes[i] = value->constant->array;
    shapes[i].data = NULL;
    value->shape = &shapes[i];
    value->constant->readers = 0;
    value->constant = NULL;
  }
  bbw_program_drop_unread(m->g->program);
  return BBW_OK;
}

/* ---- the two graphs ---- */

static bbw_status make_inference(const maker *m, bbw_body *body, bbw_arena *scratch) {
  uint32_t count = body->output_count;
  uint32_t *outputs = bbw_arena_array(scratch, count + 1u, sizeof *outputs);
  if (outputs == NULL) { return no_memory(m); }
  for (uint32_t i = 0; i < count; i++) { outputs[i] = body->outputs[i].value; }
  outputs[count] = m->prediction;
  BBW_TRY(widen_inputs(m, body));
  add_parameters(m, body);
  BBW_TRY(bbw_body_set_outputs(m->g->program, body, outputs, count + 1, m->err));
  BBW_TRY(bbw_program_fuse(m->g->program, body, m->err));
  return bbw_program_pack(m->g->program, body, m->err);
}

/* Dropout drops: another operator, which draws from the number of the step. */
static bbw_status start_dropping(const maker *m, bbw_body *body, bbw_op_node *node, uint32_t draw, uint32_t salt) {
  bbw_arena *arena = &m->g->program->arena;
  bbw_dropout_params *params = bbw_arena_array(arena, 1, sizeof *params);
  uint32_t *inputs = bbw_arena_array(arena, 3, sizeof *inputs);
  if (params == NULL || inputs == NULL) { return no_memory(m); }
  *params = *(const bbw_dropout_params *)node->params;
  params->salt = (uint64_t)salt + 1;
  inputs[0] = node->inputs[0];
  inputs[1] = node->input_count > 1 ? node->inputs[1] : BBW_VALUE_NONE;
  inputs[2] = draw;
  bbw_body_retain_value(body, draw);
  if (node->input_count > 2 && node->inputs[2] != BBW_VALUE_NONE) {
    bbw_body_release_value(m->g->program, body, node->inputs[2]);
  }
  node->op = bbw_onnx_op_find(BBW_STR("bbw"), BBW_STR("DropoutTrain"), 1, NULL);
  node->opset = 1;
  node->params = params;
  node->params_bytes = sizeof *params;
  node->inputs = inputs;
  node->input_count = 3;
  return BBW_OK;
}

/* BatchNormalization takes the statistics of the batch; moved[] of its own receives the values that hold their next ones. */
static bbw_status start_learning(const maker *m, bbw_body *body, uint32_t index, uint32_t *moved) {
  bbw_arena *arena = &m->g->program->arena;
  bbw_op_node *node = bbw_body_node_at(body, index);
  bbw_batch_norm_params *params = bbw_arena_array(arena, 1, sizeof *params);
  uint32_t *outputs = bbw_arena_array(arena, 3, sizeof *outputs);
  if (params == NULL || outputs == NULL) { return no_memory(m); }
  *params = *(const bbw_batch_norm_params *)node->params;
  params->is_training = true;
  outputs[0] = node->outputs[0];
  for (uint32_t k = 1; k < 3; k++) {
    bbw_body_value *made = bbw_vec_push(&body->values);
    if (made == NULL) { return no_memory(m); }
    *made = (bbw_body_value){.producer = index};
    outputs[k] = (uint32_t)(body->values.count - 1);
    for (uint32_t i = 0; i < m->g->parameter_count; i++) {
      if (m->values[i] == node->inputs[2 + k]) { moved[i] = outputs[k]; }
    }
  }
  node->params = params;
  node->outputs = outputs;
  node->output_count = 3;
  return BBW_OK;
}

/* What is different in a step. */
static bbw_status start_training(const maker *m, bbw_body *body, uint32_t draw, uint32_t *moved) {
  for (uint32_t i = 0; i < body->nodes.count; i++) {
    bbw_op_node *node = bbw_body_node_at(body, i);
    bool drops = node->op->run == bbw_dropout_run && !((const bbw_dropout_params *)node->params)->has_seed;
    if (drops && (node->output_count == 1 || node->outputs[1] == BBW_VALUE_NONE)) {
      BBW_TRY(start_dropping(m, body, node, draw, i));
    }
    bool learns = false;
    for (uint32_t k = 0; k < m->g->parameter_count && is_batch_norm(node); k++) {
      learns = learns || (m->g->parameters[k].is_statistic && m->values[k] == node->inputs[3]);
    }
    if (learns) { BBW_TRY(start_learning(m, body, i, moved)); }
  }
  return BBW_OK;
}

/* made[0]: the loss, made[1]: the gradient of what is read first. */
static bbw_status add_loss(const maker *m, bbw_body *body, const bbw_loss_params *kind, const uint32_t *reads,
                           uint32_t count, uint32_t made[2]) {
  bbw_loss_params *params = bbw_arena_array(&m->g->program->arena, 1, sizeof *params);
  if (params == NULL) { return no_memory(m); }
  *params = *kind;
  bbw_new_node loss = {.op = bbw_onnx_op_find(BBW_STR("bbw"), BBW_STR("Loss"), 1, NULL),
                       .name = BBW_STR("loss"),
                       .opset = 1,
                       .params = params,
                       .params_bytes = sizeof *params,
                       .inputs = reads,
                       .input_count = count,
                       .output_count = 2,
                       .outputs = made};
  return bbw_body_append(m->g->program, body, &loss, m->err);
}

static bbw_status no_gradient(const maker *m, bbw_str name) {
  bbw_error_set(m->err, BBW_E_ONNX_UNSUPPORTED);
  bbw_error_add_str(m->err, "value", name);
  bbw_error_add_str(m->err, "detail", BBW_STR("no gradient reaches this initializer: freeze it"));
  return BBW_E_ONNX_UNSUPPORTED;
}

/* A loss whose gradient is what it is given checks that it has the size of the output. */
static bbw_status make_backward(const maker *m, bbw_body *body, bbw_arena *scratch) {
  bbw_training_graph *g = m->g;
  const bbw_loss_params given = {.kind = BBW_LOSS_GIVEN};
  uint32_t reads[2] = {m->output, BBW_VALUE_NONE}, made[2] = {0, 0}, count = 0;
  uint32_t *wanted = bbw_arena_array(scratch, g->parameter_count, sizeof *wanted);
  uint32_t *gradients = bbw_arena_array(scratch, g->parameter_count, sizeof *gradients);
  if (wanted == NULL || gradients == NULL) { return no_memory(m); }
  BBW_TRY(widen_inputs(m, body));
  BBW_TRY(new_input(m, body, &reads[1]));
  add_parameters(m, body);
  BBW_TRY(add_loss(m, body, &given, reads, 2, made));
  for (uint32_t i = 0; i < g->parameter_count; i++) {
    if (!g->parameters[i].is_statistic) { wanted[count++] = m->values[i]; }
  }
  BBW_TRY(bbw_gradient_build(g->program, body, &m->output, &made[1], 1, wanted, count, gradients, m->err));
  for (uint32_t i = 0, k = 0; i < g->parameter_count; i++) {
    if (g->parameters[i].is_statistic) { continue; }
    if (gradients[k++] == BBW_VALUE_NONE) { return no_gradient(m, g->parameters[i].name); }
  }
  BBW_TRY(bbw_body_set_outputs(g->program, body, gradients, count, m->err));
  BBW_TRY(bbw_program_fuse(g->program, body, m->err));
  return bbw_program_pack(g->program, body, m->err);
}

static bbw_status make_step(const maker *m, bbw_body *body, bbw_arena *scratch) {
  bbw_training_graph *g = m->g;
  uint32_t count = body->output_count, made[2] = {0, 0}, reads[2] = {m->prediction, BBW_VALUE_NONE}, draw;
  uint32_t *moved = bbw_arena_array(scratch, g->parameter_count, sizeof *moved);
  if (moved == NULL) { return no_memory(m); }
  BBW_TRY(widen_inputs(m, body));
  if (g->label_count > 0) { BBW_TRY(new_input(m, body, &reads[1])); }
  BBW_TRY(new_input(m, body, &draw));
  add_parameters(m, body);
  BBW_TRY(start_training(m, body, draw, moved));
  BBW_TRY(add_loss(m, body, &g->loss, reads, 1 + g->label_count, made));
  g->kept_count = m->options->keeps_outputs ? count : 0;
  uint32_t *outputs = bbw_arena_array(scratch, 1u + count + g->parameter_count, sizeof *outputs);
  if (outputs == NULL) { return no_memory(m); }
  outputs[0] = made[0];
  for (uint32_t i = 0; i < g->kept_count; i++) { outputs[1 + i] = body->outputs[i].value; }
  uint32_t *gradients = outputs + 1 + g->kept_count;
  BBW_TRY(bbw_gradient_build(g->program, body, &m->prediction, &made[1], 1, m->values, g->parameter_count, gradients,
                             m->err));
  for (uint32_t i = 0; i < g->parameter_count; i++) {
    if (g->parameters[i].is_statistic) { gradients[i] = moved[i]; }
    if (gradients[i] == BBW_VALUE_NONE) { /* every way to the loss ends in something constant */
      return no_gradient(m, g->parameters[i].name);
    }
  }
  BBW_TRY(bbw_body_set_outputs(g->program, body, outputs, 1 + g->kept_count + g->parameter_count, m->err));
  BBW_TRY(bbw_program_fuse(g->program, body, m->err));
  BBW_TRY(bbw_program_pack(g->program, body, m->err));
  if (m->options->checkpoints < 2) { return BBW_OK; }
  BBW_TRY(bbw_body_clone(g->program, body, &g->whole, m->err));
  return bbw_checkpoint(g->program, body, m->options->checkpoints, m->err);
}

static bbw_status keep_loss(maker *m) {
  const bbw_trainer_options *o = m->options;
  static const bbw_loss_kind kinds[] = {[BBW_TRAINER_SOFTMAX_CROSS_ENTROPY] = BBW_LOSS_SOFTMAX_CROSS_ENTROPY,
                                        [BBW_TRAINER_BCE_WITH_LOGITS] = BBW_LOSS_BCE_WITH_LOGITS,
                                        [BBW_TRAINER_MSE] = BBW_LOSS_MSE,
                                        [BBW_TRAINER_HUBER] = BBW_LOSS_HUBER,
                                        [BBW_TRAINER_OUTPUT] = BBW_LOSS_OUTPUT};
  m->g->loss = (bbw_loss_params){.kind = kinds[o->loss],
                                 .has_ignored = o->has_ignored,
                                 .ignored = o->ignored,
                                 .smoothing = o->label_smoothing,
                                 .delta = o->huber_delta != 0.0f ? o->huber_delta : 1.0f,
                                 .class_count = o->class_count};
  m->g->label_count = o->loss != BBW_TRAINER_OUTPUT;
  if (o->class_count == 0) { return BBW_OK; }
  float *weights = bbw_arena_array(&m->g->program->arena, o->class_count, sizeof *weights);
  if (weights == NULL) { return no_memory(m); }
  memcpy(weights, o->class_weights, o->class_count * sizeof *weights);
  m->g->loss.class_weights = weights;
  return BBW_OK;
}

/* Bodies of control flow hold no parameters of their own.  Their gradients are made from the operators of the file, so these are fused for good only when all gradients are there. */
static bbw_status simplify_inner(const maker *m) {
  bbw_program *program = m->g->program;
  for (size_t i = 1; i < program->bodies.count; i++) {
    bbw_body *body = *BBW_VEC_AT(&program->bodies, bbw_body *, i);
    BBW_TRY(bbw_program_fold(program, body, m->err));
    BBW_TRY(bbw_program_fuse_forward(program, body, m->err));
  }
  return BBW_OK;
}

static bbw_status finish_inner(const maker *m) {
  const bbw_training_graph *g = m->g;
  for (size_t i = 0; i < g->program->bodies.count; i++) {
    bbw_body *body = *BBW_VEC_AT(&g->program->bodies, bbw_body *, i);
    if (body == g->step || body == g->inference || body == g->backward || body == g->whole) { continue; }
    BBW_TRY(bbw_program_fuse(g->program, body, m->err));
    BBW_TRY(bbw_program_pack(g->program, body, m->err));
  }
  return BBW_OK;
}

static bbw_status make(maker *m, bbw_arena *scratch) {
  bbw_training_graph *g = m->g;
  bbw_body *body = bbw_program_main(g->program);
  for (uint32_t i = 0; i < body->input_count && m->options->frees_batch; i++) { body->inputs[i].dims[0] = -1; }
  g->input_count = body->input_count;
  g->output_count = body->output_count;
  BBW_TRY(keep_loss(m));
  BBW_TRY(check_freeze(m, body));
  BBW_TRY(find_prediction(m, body));
  BBW_TRY(find_parameters(m, body, scratch));
  BBW_TRY(free_constants(m, body));
  BBW_TRY(simplify_inner(m));
  /* The loss reads the prediction, also where no output does: it must outlive the folding. */
  bbw_body_retain_value(body, m->prediction);
  BBW_TRY(bbw_program_fold(g->program, body, m->err));
  BBW_TRY(bbw_program_fuse_forward(g->program, body, m->err));
  g->step = body;
  BBW_TRY(bbw_body_clone(g->program, body, &g->inference, m->err));
  if (m->options->has_backward) {
    BBW_TRY(bbw_body_clone(g->program, body, &g->backward, m->err));
    BBW_TRY(make_backward(m, g->backward, scratch));
    bbw_body_release_value(g->program, g->backward, m->prediction);
  }
  BBW_TRY(make_inference(m, g->inference, scratch));
  BBW_TRY(make_step(m, g->step, scratch));
  BBW_TRY(finish_inner(m));
  bbw_body_release_value(g->program, g->step, m->prediction);
  bbw_body_release_value(g->program, g->inference, m->prediction);
  return BBW_OK;
}

bbw_status bbw_training_graph_make(bbw_training_graph *out, bbw_bytes model, const bbw_trainer_options *options,
                                   const bbw_mem *mem, bbw_error *err) {
  bbw_training_graph g = {0};
  bbw_program_options raw = {.memory_bytes_max = options->memory_bytes_max, .is_raw = true};
  BBW_TRY(bbw_program_new(&g.program, model, &raw, mem, err));
  maker m = {.g = &g, .options = options, .mem = mem, .err = err};
  bbw_arena scratch;
  bbw_arena_init(&scratch, mem);
  bbw_status rv = make(&m, &scratch);
  rv = bbw_arena_status(rv, &g.program->arena, err);
  bbw_arena_free(&scratch);
  if (rv != BBW_OK) {
    bbw_training_graph_free(&g);
    return rv;
  }
  *out = g;
  return BBW_OK;
}

void bbw_training_graph_free(bbw_training_graph *g) {
  if (g->program == NULL) { return; }
  bbw_mem_array_free(g->program->mem, g->initial, g->value_count, sizeof *g->initial);
  bbw_program_release(g->program);
  g->initial = NULL;
  g->program = NULL;
}
