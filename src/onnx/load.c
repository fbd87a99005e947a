#include "onnx/load.h"

#include <string.h>

#include "base/bytes.h"
#include "base/map.h"
#include "base/mem.h"
#include "onnx/tensor.h"

/* Operator sets that a model may import; every node looks its own up among them. */
#define OPSETS_MAX 64u

/* The names of one graph while it is read; the graph around it is the parent. */
typedef struct scope {
  bbw_body *body;
  bbw_map names; /* name -> value */
  struct scope *parent;
  bbw_op_node *owner; /* the node whose body this is; captured values become its inputs */
  uint32_t room;      /* inputs that fit into the list of the owner; doubled, because the arena keeps the old lists */
  uint32_t depth;
} scope;

typedef struct loader {
  bbw_program *program;
  const bbw_onnx_model *model;
  bbw_arena *scratch;
  bbw_error *err;
  uint32_t node_count;
  bool has_unsupported;
} loader;

static bbw_str text(const char *s) { return (bbw_str){s, strlen(s)}; }

static bbw_status invalid_value(loader *l, bbw_str name, const char *detail) {
  bbw_error_set(l->err, BBW_E_ONNX_INVALID);
  bbw_error_add_str(l->err, "value", name);
  bbw_error_add_str(l->err, "detail", text(detail));
  return BBW_E_ONNX_INVALID;
}

static bbw_status no_memory(loader *l) { return bbw_error_set(l->err, BBW_E_NOMEM); }

static bool keep_text(loader *l, bbw_str from, bbw_str *out) {
  bool ok = true;
  *out = bbw_bytes_str(bbw_arena_copy(&l->program->arena, bbw_str_bytes(from), &ok));
  return ok;
}

static bbw_status add_value(loader *l, scope *s, bbw_str name, bbw_constant *constant, uint32_t *out) {
  uint64_t taken;
  if (name.len == 0) { return invalid_value(l, name, "a value has no name"); }
  if (bbw_map_get_bytes(&s->names, bbw_str_bytes(name), &taken)) {
    return invalid_value(l, name, "two values have this name");
  }
  bbw_str kept;
  if (s->body->values.count >= BBW_VALUE_NONE) { return bbw_error_set(l->err, BBW_E_LIMIT); }
  if (!keep_text(l, name, &kept)) { return no_memory(l); }
  if (!bbw_map_put_bytes(&s->names, bbw_str_bytes(kept), s->body->values.count)) { return no_memory(l); }
  bbw_body_value *value = bbw_vec_push(&s->body->values);
  if (value == NULL) { return no_memory(l); }
  *value = (bbw_body_value){.name = kept, .constant = constant, .producer = BBW_VALUE_NONE};
  *out = (uint32_t)(s->body->values.count - 1);
  return BBW_OK;
}

/* The value of a name in this graph, or in one around it, which then becomes an input of the node in between. */
static bbw_status resolve(loader *l, scope *s, bbw_str name, uint32_t *out) {
  uint64_t number;
  if (bbw_map_get_bytes(&s->names, bbw_str_bytes(name), &number)) {
    *out = (uint32_t)number;
    return BBW_OK;
  }
  scope *at = s; /* the nearest graph that knows the name */
  while (at->parent != NULL && !bbw_map_get_bytes(&at->names, bbw_str_bytes(name), &number)) { at = at->parent; }
  if (!bbw_map_get_bytes(&at->names, bbw_str_bytes(name), &number)) {
    return invalid_value(l, name, "is used but nothing makes it");
  }
  /* From there inwards, at most BBW_ONNX_DEPTH_MAX steps, every node takes it in. */
  while (at != s) {
    scope *inner = s;
    while (inner->parent != at) { inner = inner->parent; }
    bbw_op_node *owner = inner->owner;
    bbw_capture *capture = bbw_vec_push(&inner->body->captures);
    if (capture == NULL) { return no_memory(l); }
    if (owner->input_count >= inner->room) {
      uint32_t room = owner->input_count * 2 + 8;
      uint32_t *inputs = bbw_arena_array(&l->program->arena, room, sizeof *inputs);
      if (inputs == NULL) { return no_memory(l); }
      if (owner->input_count > 0) { memcpy(inputs, owner->inputs, owner->input_count * sizeof *inputs); }
      owner->inputs = inputs;
      inner->room = room;
    }
    owner->inputs[owner->input_count++] = (uint32_t)number;
    uint32_t value;
    bbw_status rv = add_value(l, inner, name, NULL, &value);
    if (rv != BBW_OK) { return rv; }
    capture = BBW_VEC_AT(&inner->body->captures, bbw_capture, inner->body->captures.count - 1);
    *capture = (bbw_capture){.value = value, .position = owner->input_count - 1};
    number = value;
    at = inner;
  }
  *out = (uint32_t)number;
  return BBW_OK;
}

static bbw_status add_constant(loader *l, const bbw_onnx_tensor *tensor, bbw_str name, bbw_constant **out) {
  bbw_array shape;
  size_t bytes;
  const char *detail = NULL;
  bbw_status rv = bbw_tensor_shape(&shape, &bytes, tensor, &detail);
  if (rv == BBW_OK) {
    rv = bbw_program_constant(l->program, &shape, out, l->err);
  } else {
    bbw_error_set(l->err, rv);
    bbw_error_add_str(l->err, "value", name);
    bbw_error_add_str(l->err, "detail", text(detail));
  }
  if (rv == BBW_OK) { rv = bbw_tensor_read(&(*out)->array, tensor, &detail); }
  return rv;
}

static bbw_status read_port(loader *l, const bbw_onnx_value_info *info, uint32_t value, bbw_port *port) {
  port->value = value;
  if (!keep_text(l, info->name, &port->name)) { return no_memory(l); }
  const bbw_onnx_tensor_type *type = info->type != NULL ? info->type->tensor_type : NULL;
  if (type == NULL && info->type != NULL) {
    bbw_error_set(l->err, BBW_E_ONNX_UNSUPPORTED);
    bbw_error_add_str(l->err, "value", info->name);
    bbw_error_add_str(l->err, "detail", BBW_STR("is no tensor: sequences, maps and optional values are not supported"));
    return BBW_E_ONNX_UNSUPPORTED;
  }
  if (type == NULL) { return BBW_OK; }
  port->dtype = bbw_dtype_from_onnx(type->elem_type);
  if (type->elem_type != 0 && port->dtype == BBW_DTYPE_NONE) {
    bbw_error_set(l->err, BBW_E_ONNX_UNSUPPORTED);
    bbw_error_add_str(l->err, "value", info->name);
    bbw_error_add_str(l->err, "detail", text("element type is not supported"));
    return BBW_E_ONNX_UNSUPPORTED;
  }
  if (type->shape == NULL) { return BBW_OK; }
  if (type->shape->dim.count > BBW_ARRAY_RANK_MAX) { return invalid_value(l, info->name, "has too many dimensions"); }
  port->has_shape = true;
  port->rank = (uint32_t)type->shape->dim.count;
  for (uint32_t d = 0; d < port->rank; d++) {
    const bbw_onnx_dimension *dim = BBW_PROTO_AT(&type->shape->dim, bbw_onnx_dimension, d);
    port->dims[d] = dim->has_dim_value && dim->dim_value >= 0 ? dim->dim_value : -1;
    if (!keep_text(l, dim->dim_param, &port->symbols[d])) { return no_memory(l); }
  }
  return BBW_OK;
}

/* Names of initializers, inputs and node outputs; the constants themselves. */
static bbw_status read_names(loader *l, scope *s, const bbw_onnx_graph *graph) {
  bbw_body *body = s->body;
  uint32_t value;
  for (size_t i = 0; i < graph->initializer.count; i++) {
    const bbw_onnx_tensor *tensor = BBW_PROTO_AT(&graph->initializer, bbw_onnx_tensor, i);
    bbw_constant *constant;
    BBW_TRY(add_constant(l, tensor, tensor->name, &constant));
    l->program->parameter_count += constant->array.count;
    BBW_TRY(add_value(l, s, tensor->name, constant, &value));
  }
  size_t fixed = body->values.count;
  body->initializer_count = (uint32_t)fixed;
  body->inputs = bbw_arena_array(&l->program->arena, graph->input.count, sizeof *body->inputs);
  if (body->inputs == NULL) { return no_memory(l); }
  for (size_t i = 0; i < graph->input.count; i++) {
    const bbw_onnx_value_info *info = BBW_PROTO_AT(&graph->input, bbw_onnx_value_info, i);
    uint64_t taken;
    /* Older files list the initializers among the inputs: they stay fixed. */
    if (bbw_map_get_bytes(&s->names, bbw_str_bytes(info->name), &taken) && taken < fixed) { continue; }
    BBW_TRY(add_value(l, s, info->name, NULL, &value));
    BBW_TRY(read_port(l, info, value, &body->inputs[body->input_count]));
    body->input_count++;
  }
  for (size_t i = 0; i < graph->node.count; i++) {
    const bbw_onnx_node *node = BBW_PROTO_AT(&graph->node, bbw_onnx_node, i);
    for (size_t o = 0; o < node->output.count; o++) {
      bbw_str name = *BBW_PROTO_AT(&node->output, bbw_str, o);
      if (name.len != 0) { BBW_TRY(add_value(l, s, name, NULL, &value)); }
    }
  }
  return BBW_OK;
}

/* The version of the operator set of a domain; 1 when the model does not name it. */
static int64_t opset_of(const bbw_onnx_model *model, bbw_str domain) {
  for (size_t i = 0; i < model->opset_import.count; i++) {
    const bbw_onnx_opset *opset = BBW_PROTO_AT(&model->opset_import, bbw_onnx_opset, i);
    bbw_str name = bbw_str_equal(opset->domain, BBW_STR("ai.onnx")) ? BBW_STR("") : opset->domain;
    if (bbw_str_equal(name, domain)) { return opset->version; }
  }
  return 1;
}

static bbw_status add_unsupported(loader *l, const bbw_onnx_node *node, bbw_str name, int64_t opset,
                                  const char *attribute, const char *detail) {
  char line[400], digits[20];
  size_t used = 0;
  bbw_str version = {digits, bbw_format_u64(opset < 0 ? 0 : (uint64_t)opset, digits)};
  const bbw_str parts[] = {name,
                           BBW_STR(": "),
                           node->domain,
                           node->domain.len != 0 ? BBW_STR(".") : BBW_STR(""),
                           node->op_type,
                           BBW_STR(" (opset "),
                           version,
                           BBW_STR(")"),
                           detail != NULL ? BBW_STR(": ") : BBW_STR(""),
                           attribute != NULL ? text(attribute) : BBW_STR(""),
                           attribute != NULL ? BBW_STR(": ") : BBW_STR(""),
                           detail != NULL ? text(detail) : BBW_STR("")};
  for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
    size_t n = parts[i].len < sizeof line - used ? parts[i].len : sizeof line - used;
    if (n > 0) { memcpy(line + used, parts[i].ptr, n); }
    used += n;
  }
  size_t bad;
  if (!bbw_utf8_is_valid((bbw_bytes){(const uint8_t *)line, used}, &bad)) { used = bad; }
  if (!l->has_unsupported) { bbw_error_set(l->err, BBW_E_ONNX_UNSUPPORTED); }
  l->has_unsupported = true;
  bbw_error_add_item(l->err, "nodes", (bbw_str){line, used});
  return BBW_OK;
}

static bbw_status read_graph(loader *l, scope *s, const bbw_onnx_graph *graph);

/* Bodies of a control-flow operator, one per graph attribute, in the order of the names that such operators use. */
static bbw_status read_bodies(loader *l, scope *s, const bbw_onnx_node *proto, bbw_op_node *node) {
  static const char *const names[] = {"then_branch", "else_branch", "body"};
  bbw_body **bodies = bbw_arena_array(&l->program->arena, 2, sizeof(bbw_body *));
  if (bodies == NULL) { return no_memory(l); }
  node->bodies = bodies;
  for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
    const bbw_onnx_attribute *a = bbw_onnx_attribute_find(proto, text(names[i]));
    if (a == NULL || a->g == NULL) { continue; }
    if (s->depth + 1 >= BBW_ONNX_DEPTH_MAX) { return invalid_value(l, node->name, "graphs are nested too deeply"); }
    if (node->body_count == 2) { break; }
    scope inner = {.parent = s, .owner = node, .room = node->input_count, .depth = s->depth + 1};
    bbw_map_init(&inner.names, 0, l->program->mem);
    bbw_status rv = read_graph(l, &inner, a->g);
    bbw_map_free(&inner.names);
    if (rv != BBW_OK) { return rv; }
    bodies[node->body_count++] = inner.body;
  }
  return BBW_OK;
}

static bbw_status read_node(loader *l, scope *s, const bbw_onnx_node *proto) {
  bbw_program *program = l->program;
  bbw_str domain = bbw_str_equal(proto->domain, BBW_STR("ai.onnx")) ? BBW_STR("") : proto->domain;
  int64_t opset = opset_of(l->model, domain);
  bbw_str label = proto->name.len != 0 || proto->output.count == 0 ? proto->name
                                                                   : *BBW_PROTO_AT(&proto->output, bbw_str, 0);
  const bbw_onnx_op *op = bbw_str_equal(domain, BBW_STR("bbw")) ? NULL
                                                                : bbw_onnx_op_find(domain, proto->op_type, opset, NULL);
  if (++l->node_count > BBW_ONNX_NODES_MAX) { return invalid_value(l, label, "model has too many nodes"); }
  if (op == NULL) { return add_unsupported(l, proto, label, opset, NULL, NULL); }

  bbw_op_node *node = bbw_arena_array(l->scratch, 1, sizeof *node);
  if (node == NULL || !keep_text(l, label, &node->name)) { return no_memory(l); }
  node->op = op;
  node->opset = opset;
  size_t inputs = proto->input.count, outputs = proto->output.count;
  /* Absent inputs at the end are none, except where the operator counts them: a Loop without a condition. */
  while (inputs > op->in_min && BBW_PROTO_AT(&proto->input, bbw_str, inputs - 1)->len == 0) { inputs--; }
  while (outputs > 0 && BBW_PROTO_AT(&proto->output, bbw_str, outputs - 1)->len == 0) { outputs--; }
  if (inputs < op->in_min || inputs > op->in_max) {
    return bbw_op_node_error(l->err, BBW_E_ONNX_INVALID, node, NULL, -1, "operator has too few or too many inputs");
  }
  if (outputs > op->out_max) {
    return bbw_op_node_error(l->err, BBW_E_ONNX_INVALID, node, NULL, -1, "operator has too many outputs");
  }
  node->inputs = bbw_arena_array(&program->arena, inputs, sizeof *node->inputs);
  node->outputs = bbw_arena_array(&program->arena, outputs > 0 ? outputs : 1, sizeof *node->outputs);
  if (node->inputs == NULL || node->outputs == NULL) { return no_memory(l); }
  node->input_count = (uint32_t)inputs;
  node->output_count = outputs > 0 ? (uint32_t)outputs : 1;
  for (size_t i = 0; i < inputs; i++) {
    bbw_str name = *BBW_PROTO_AT(&proto->input, bbw_str, i);
    node->inputs[i] = BBW_VALUE_NONE;
    if (name.len != 0) {
      BBW_TRY(resolve(l, s, name, &node->inputs[i]));
    } else if (i < op->in_min && op->in_max != BBW_OP_ANY_COUNT) {
      return bbw_op_node_error(l->err, BBW_E_ONNX_INVALID, node, NULL, (int32_t)i, "input is missing");
    }
  }
  for (size_t i = 0; i < outputs; i++) {
    bbw_str name = *BBW_PROTO_AT(&proto->output, bbw_str, i);
    uint64_t number = BBW_VALUE_NONE;
    if (name.len != 0) { bbw_map_get_bytes(&s->names, bbw_str_bytes(name), &number); }
    node->outputs[i] = (uint32_t)number;
  }
  if (outputs == 0 || node->outputs[0] == BBW_VALUE_NONE) { /* operators may count on their first output */
    bbw_body_value *unnamed = bbw_vec_push(&s->body->values);
    if (unnamed == NULL) { return no_memory(l); }
    unnamed->producer = BBW_VALUE_NONE;
    node->outputs[0] = (uint32_t)(s->body->values.count - 1);
  }
  if (op->flags & BBW_OP_RUNS_GRAPHS) { BBW_TRY(read_bodies(l, s, proto, node)); }
  if (op->prepare != NULL) {
    bbw_prep prep = {.op = op,
                     .node = proto,
                     .opset = opset,
                     .input_count = node->input_count,
                     .output_count = node->output_count,
                     .arena = &program->arena};
    bbw_status rv = op->prepare(&prep);
    if (rv == BBW_E_ONNX_UNSUPPORTED) { return add_unsupported(l, proto, label, opset, prep.attribute, prep.detail); }
    if (rv == BBW_E_NOMEM) { return no_memory(l); }
    if (rv != BBW_OK) { return bbw_op_node_error(l->err, rv, node, prep.attribute, -1, prep.detail); }
    node->params = prep.params;
    node->params_bytes = prep.params_bytes;
  }
  bbw_op_node *kept = bbw_vec_push(&s->body->nodes);
  if (kept == NULL) { return no_memory(l); }
  *kept = *node;
  return BBW_OK;
}

/* A Constant node with a tensor becomes a constant at once, without a copy on the way. */
static bbw_status read_constant_node(loader *l, scope *s, const bbw_onnx_node *proto, bool *is_done) {
  *is_done = false;
  if (!bbw_str_equal(proto->op_type, BBW_STR("Constant")) || proto->domain.len != 0 || proto->output.count != 1) {
    return BBW_OK;
  }
  const bbw_onnx_attribute *a = bbw_onnx_attribute_find(proto, BBW_STR("value"));
  uint64_t value;
  if (a == NULL || a->t == NULL ||
      !bbw_map_get_bytes(&s->names, bbw_str_bytes(*BBW_PROTO_AT(&proto->output, bbw_str, 0)), &value)) {
    return BBW_OK;
  }
  bbw_constant *constant;
  BBW_TRY(add_constant(l, a->t, *BBW_PROTO_AT(&proto->output, bbw_str, 0), &constant));
  bbw_body_value_at(s->body, (uint32_t)value)->constant = constant;
  *is_done = true;
  return BBW_OK;
}

/* Nodes in an order in which inputs are ready; among ready ones the order of the file. */
static bbw_status order_nodes(loader *l, bbw_body *body) {
  uint32_t count = (uint32_t)body->nodes.count, value_count = (uint32_t)body->values.count;
  for (uint32_t i = 0; i < count; i++) {
    const bbw_op_node *node = bbw_body_node_at(body, i);
    for (uint32_t o = 0; o < node->output_count; o++) {
      if (node->outputs[o] != BBW_VALUE_NONE) { bbw_body_value_at(body, node->outputs[o])->producer = i; }
    }
  }
  bool is_sorted = true;
  for (uint32_t i = 0; i < count && is_sorted; i++) {
    const bbw_op_node *node = bbw_body_node_at(body, i);
    for (uint32_t k = 0; k < node->input_count && is_sorted; k++) {
      if (node->inputs[k] == BBW_VALUE_NONE) { continue; }
      uint32_t producer = bbw_body_value_at(body, node->inputs[k])->producer;
      is_sorted = producer == BBW_VALUE_NONE || producer < i;
    }
  }
  if (is_sorted) { return BBW_OK; }

  /* Kahn's method: `first[v]` is the head of the list of reads of value v; the reads are numbered over all nodes. */
  size_t reads = 0;
  for (uint32_t i = 0; i < count; i++) { reads += bbw_body_node_at(body, i)->input_count; }
  uint32_t *first = bbw_arena_array(l->scratch, value_count, sizeof *first);
  uint32_t *next = bbw_arena_array(l->scratch, reads, sizeof *next);
  uint32_t *reader = bbw_arena_array(l->scratch, reads, sizeof *reader);
  uint32_t *missing = bbw_arena_array(l->scratch, count, sizeof *missing);
  uint32_t *queue = bbw_arena_array(l->scratch, count, sizeof *queue);
  bbw_op_node *sorted = bbw_arena_array(l->scratch, count, sizeof *sorted);
  uint32_t *place = bbw_arena_array(l->scratch, count, sizeof *place);
  if (first == NULL || next == NULL || reader == NULL || missing == NULL || queue == NULL || sorted == NULL ||
      place == NULL) {
    return no_memory(l);
  }
  for (uint32_t v = 0; v < value_count; v++) { first[v] = BBW_VALUE_NONE; }
  uint32_t read = 0, tail = 0;
  for (uint32_t i = 0; i < count; i++) {
    const bbw_op_node *node = bbw_body_node_at(body, i);
    for (uint32_t k = 0; k < node->input_count; k++) {
      uint32_t v = node->inputs[k];
      if (v == BBW_VALUE_NONE || bbw_body_value_at(body, v)->producer == BBW_VALUE_NONE) { continue; }
      missing[i]++;
      reader[read] = i;
      next[read] = first[v];
      first[v] = read++;
    }
    if (missing[i] == 0) { queue[tail++] = i; }
  }
  for (uint32_t head = 0; head < tail; head++) {
    const bbw_op_node *node = bbw_body_node_at(body, queue[head]);
    for (uint32_t o = 0; o < node->output_count; o++) {
      if (node->outputs[o] == BBW_VALUE_NONE) { continue; }
      for (uint32_t r = first[node->outputs[o]]; r != BBW_VALUE_NONE; r = next[r]) {
        if (--missing[reader[r]] == 0) { queue[tail++] = reader[r]; }
      }
    }
  }
  if (tail < count) {
    for (uint32_t i = 0; i < count; i++) {
      if (missing[i] > 0) {
        return bbw_op_node_error(l->err, BBW_E_ONNX_INVALID, bbw_body_node_at(body, i), NULL, -1, "graph has a cycle");
      }
    }
  }
  for (uint32_t i = 0; i < count; i++) {
    sorted[i] = *bbw_body_node_at(body, queue[i]);
    place[queue[i]] = i;
  }
  memcpy(body->nodes.items, sorted, count * sizeof *sorted);
  for (uint32_t v = 0; v < value_count; v++) {
    bbw_body_value *value = bbw_body_value_at(body, v);
    if (value->producer != BBW_VALUE_NONE) { value->producer = place[value->producer]; }
  }
  return BBW_OK;
}

static void count_readers(bbw_body *body) {
  for (uint32_t i = 0; i < body->nodes.count; i++) {
    const bbw_op_node *node = bbw_body_node_at(body, i);
    for (uint32_t k = 0; k < node->input_count; k++) {
      if (node->inputs[k] != BBW_VALUE_NONE) { bbw_body_retain_value(body, node->inputs[k]); }
    }
  }
  for (uint32_t i = 0; i < body->output_count; i++) { bbw_body_retain_value(body, body->outputs[i].value); }
}

static bbw_status read_graph(loader *l, scope *s, const bbw_onnx_graph *graph) {
  bbw_program *program = l->program;
  bbw_body *body = bbw_arena_array(&program->arena, 1, sizeof *body);
  bbw_body **slot = body != NULL ? bbw_vec_push(&program->bodies) : NULL;
  if (slot == NULL) { return no_memory(l); }
  *slot = body;
  s->body = body;
  bbw_vec_init(&body->values, sizeof(bbw_body_value), program->mem);
  bbw_vec_init(&body->nodes, sizeof(bbw_op_node), program->mem);
  bbw_vec_init(&body->captures, sizeof(bbw_capture), program->mem);
  BBW_TRY(read_names(l, s, graph));
  for (size_t i = 0; i < graph->node.count; i++) {
    const bbw_onnx_node *proto = BBW_PROTO_AT(&graph->node, bbw_onnx_node, i);
    bool is_done;
    BBW_TRY(read_constant_node(l, s, proto, &is_done));
    if (!is_done) { BBW_TRY(read_node(l, s, proto)); }
  }
  body->outputs = bbw_arena_array(&program->arena, graph->output.count, sizeof *body->outputs);
  if (body->outputs == NULL) { return no_memory(l); }
  for (size_t i = 0; i < graph->output.count; i++) {
    const bbw_onnx_value_info *info = BBW_PROTO_AT(&graph->output, bbw_onnx_value_info, i);
    uint32_t value;
    BBW_TRY(resolve(l, s, info->name, &value));
    BBW_TRY(read_port(l, info, value, &body->outputs[i]));
    body->output_count++;
  }
  BBW_TRY(order_nodes(l, body));
  count_readers(body);
  return BBW_OK;
}

bbw_status bbw_program_load(bbw_program *program, const bbw_onnx_model *model, bbw_arena *scratch, bbw_error *err) {
  loader l = {.program = program, .model = model, .scratch = scratch, .err = err};
  if (model->graph == NULL) { return invalid_value(&l, BBW_STR(""), "model has no graph"); }
  if (model->opset_import.count > OPSETS_MAX) {
    return invalid_value(&l, BBW_STR(""), "model imports too many operator sets");
  }
  scope s = {.depth = 0};
  bbw_map_init(&s.names, 0, program->mem);
  bbw_status rv = read_graph(&l, &s, model->graph);
  bbw_map_free(&s.names);
  if (rv == BBW_OK && l.has_unsupported) { rv = BBW_E_ONNX_UNSUPPORTED; }
  return rv;
}
