#include "autodiff/onnx_names.h"

#include <string.h>

#include "base/bytes.h"

#define NO_NODE UINT32_MAX

static bbw_status invalid(bbw_error *err, const char *field, bbw_str name, const char *detail) {
  bbw_error_set(err, BBW_E_ONNX_INVALID);
  bbw_error_add_str(err, field, name);
  bbw_error_add_str(err, "detail", (bbw_str){detail, strlen(detail)});
  return BBW_E_ONNX_INVALID;
}

bbw_str bbw_onnx_node_label(const bbw_onnx_node *node) {
  if (node->name.len != 0 || node->output.count == 0) { return node->name; }
  return *BBW_PROTO_AT(&node->output, bbw_str, 0);
}

static void append(char *text, size_t size, size_t *used, bbw_str part) {
  size_t n = part.len < size - *used ? part.len : size - *used;
  if (n > 0) { memcpy(text + *used, part.ptr, n); }
  *used += n;
}

bbw_str bbw_onnx_node_describe(const bbw_onnx_node *node, char *text, size_t size) {
  size_t used = 0;
  append(text, size, &used, bbw_onnx_node_label(node));
  append(text, size, &used, BBW_STR(": "));
  if (node->domain.len != 0) {
    append(text, size, &used, node->domain);
    append(text, size, &used, BBW_STR("."));
  }
  append(text, size, &used, node->op_type);
  size_t bad;
  if (!bbw_utf8_is_valid((bbw_bytes){(const uint8_t *)text, used}, &bad)) { used = bad; } /* cut inside a character */
  return (bbw_str){text, used};
}

bool bbw_onnx_names_find(const bbw_onnx_names *names, bbw_str name, uint32_t *out) {
  uint64_t number;
  if (!bbw_map_get_bytes(&names->numbers, bbw_str_bytes(name), &number)) { return false; }
  *out = (uint32_t)number;
  return true;
}

/* Gives the next number to a new name. */
static bbw_status add_name(bbw_onnx_names *names, bbw_str name, bbw_error *err) {
  uint32_t taken;
  if (name.len == 0) { return invalid(err, "value", name, "a value has no name"); }
  if (bbw_onnx_names_find(names, name, &taken)) { return invalid(err, "value", name, "two values have this name"); }
  if (names->count >= UINT32_MAX) { return bbw_error_set(err, BBW_E_LIMIT); }
  if (!bbw_map_put_bytes(&names->numbers, bbw_str_bytes(name), names->count)) {
    return bbw_error_set(err, BBW_E_NOMEM);
  }
  names->count++;
  return BBW_OK;
}

/* Initializers first, then the input, then the node outputs in order. */
static bbw_status add_all(bbw_onnx_names *names, const bbw_onnx_graph *graph, bbw_error *err) {
  for (size_t i = 0; i < graph->initializer.count; i++) {
    bbw_status rv = add_name(names, BBW_PROTO_AT(&graph->initializer, bbw_onnx_tensor, i)->name, err);
    if (rv != BBW_OK) { return rv; }
  }
  size_t initializer_count = names->count;
  for (size_t i = 0; i < graph->input.count; i++) {
    const bbw_onnx_value_info *info = BBW_PROTO_AT(&graph->input, bbw_onnx_value_info, i);
    uint32_t number;
    if (bbw_onnx_names_find(names, info->name, &number) && number < initializer_count) {
      continue;
    } /* old files list them */
    if (names->input != NULL) { return invalid(err, "value", info->name, "graph has more than one input"); }
    bbw_status rv = add_name(names, info->name, err);
    if (rv != BBW_OK) { return rv; }
    names->input = info;
    names->input_value = (uint32_t)(names->count - 1);
  }
  if (names->input == NULL) { return invalid(err, "value", BBW_STR(""), "graph has no input"); }
  for (size_t i = 0; i < graph->node.count; i++) {
    const bbw_onnx_node *node = BBW_PROTO_AT(&graph->node, bbw_onnx_node, i);
    for (size_t o = 0; o < node->output.count; o++) {
      bbw_str name = *BBW_PROTO_AT(&node->output, bbw_str, o);
      if (name.len == 0) { continue; } /* an optional output that is left out */
      bbw_status rv = add_name(names, name, err);
      if (rv != BBW_OK) { return rv; }
    }
  }
  return BBW_OK;
}

/* Lists for the ordering, one entry per node or per value. */
typedef struct lists {
  uint32_t *maker;   /* of each value: the node, or NO_NODE */
  uint32_t *missing; /* of each node: inputs that are not made yet */
  uint32_t *start;   /* of each node: where its followers begin; one more at the end */
  uint32_t *follower;
  uint32_t *order;
} lists;

static void find_makers(const bbw_onnx_names *names, const bbw_onnx_graph *graph, lists *l) {
  for (size_t v = 0; v < names->count; v++) { l->maker[v] = NO_NODE; }
  for (size_t i = 0; i < graph->node.count; i++) {
    const bbw_onnx_node *node = BBW_PROTO_AT(&graph->node, bbw_onnx_node, i);
    for (size_t o = 0; o < node->output.count; o++) {
      uint32_t number;
      if (bbw_onnx_names_find(names, *BBW_PROTO_AT(&node->output, bbw_str, o), &number)) {
        l->maker[number] = (uint32_t)i;
      }
    }
  }
}

/* The node that makes input `index` of a node, or NO_NODE. */
static uint32_t maker_of(const bbw_onnx_names *names, const lists *l, const bbw_onnx_node *node, size_t index) {
  uint32_t number;
  bbw_str name = *BBW_PROTO_AT(&node->input, bbw_str, index);
  return name.len != 0 && bbw_onnx_names_find(names, name, &number) ? l->maker[number] : NO_NODE;
}

/* Counts what each node waits for and lists who waits for it. */
static bbw_status find_followers(const bbw_onnx_names *names, const bbw_onnx_graph *graph, lists *l, bbw_error *err) {
  for (size_t i = 0; i < graph->node.count; i++) {
    const bbw_onnx_node *node = BBW_PROTO_AT(&graph->node, bbw_onnx_node, i);
    for (size_t k = 0; k < node->input.count; k++) {
      uint32_t number;
      bbw_str name = *BBW_PROTO_AT(&node->input, bbw_str, k);
      if (name.len != 0 && !bbw_onnx_names_find(names, name, &number)) {
        bbw_status rv = invalid(err, "node", bbw_onnx_node_label(node),
                                "an input is neither an initializer nor made by a node");
        bbw_error_add_str(err, "value", name);
        return rv;
      }
      uint32_t maker = maker_of(names, l, node, k);
      if (maker == NO_NODE) { continue; }
      l->missing[i]++;
      l->start[maker + 1]++;
    }
  }
  for (size_t i = 0; i < graph->node.count; i++) { l->start[i + 1] += l->start[i]; }
  l->start[graph->node.count + 1] = l->start[graph->node.count]; /* the end of the last list */
  for (size_t i = graph->node.count; i-- > 0;) { /* from the back, so that each list ends up in the order of the file */
    const bbw_onnx_node *node = BBW_PROTO_AT(&graph->node, bbw_onnx_node, i);
    for (size_t k = 0; k < node->input.count; k++) {
      uint32_t maker = maker_of(names, l, node, k);
      if (maker != NO_NODE) { l->follower[--l->start[maker + 1]] = (uint32_t)i; }
    }
  }
  return BBW_OK;
}

/* Takes the nodes that wait for nothing, then those that waited for them only. */
static bbw_status order_nodes(const bbw_onnx_graph *graph, lists *l, bbw_error *err) {
  size_t count = graph->node.count, ready = 0;
  for (size_t i = 0; i < count; i++) {
    if (l->missing[i] == 0) { l->order[ready++] = (uint32_t)i; }
  }
  for (size_t done = 0; done < ready; done++) {
    uint32_t node = l->order[done];
    for (uint32_t f = l->start[node + 1]; f < l->start[node + 2]; f++) {
      if (--l->missing[l->follower[f]] == 0) { l->order[ready++] = l->follower[f]; }
    }
  }
  if (ready == count) { return BBW_OK; }
  size_t stuck = 0;
  while (l->missing[stuck] == 0) { stuck++; }
  return invalid(err, "node", bbw_onnx_node_label(BBW_PROTO_AT(&graph->node, bbw_onnx_node, stuck)),
                 "nodes form a cycle");
}

static bbw_status make_order(const bbw_onnx_names *names, const bbw_onnx_graph *graph, const uint32_t **order,
                             bbw_arena *arena, bbw_error *err) {
  size_t count = graph->node.count, edges = 0;
  for (size_t i = 0; i < count; i++) { edges += BBW_PROTO_AT(&graph->node, bbw_onnx_node, i)->input.count; }
  if (count >= NO_NODE - 2 || edges >= UINT32_MAX) { return bbw_error_set(err, BBW_E_LIMIT); }
  lists l = {
      .maker = bbw_arena_array(arena, names->count, sizeof(uint32_t)),
      .missing = bbw_arena_array(arena, count, sizeof(uint32_t)),
      .start = bbw_arena_array(arena, count + 2, sizeof(uint32_t)),
      .follower = bbw_arena_array(arena, edges, sizeof(uint32_t)),
      .order = bbw_arena_array(arena, count, sizeof(uint32_t)),
  };
  if (l.maker == NULL || l.missing == NULL || l.start == NULL || l.follower == NULL || l.order == NULL) {
    return bbw_error_set(err, BBW_E_NOMEM);
  }
  find_makers(names, graph, &l);
  bbw_status rv = find_followers(names, graph, &l, err);
  if (rv == BBW_OK) { rv = order_nodes(graph, &l, err); }
  *order = l.order;
  return rv;
}

bbw_status bbw_onnx_names_init(bbw_onnx_names *names, const bbw_onnx_graph *graph, const uint32_t **order,
                               bbw_arena *arena, bbw_error *err) {
  *names = (bbw_onnx_names){0};
  bbw_map_init(&names->numbers, 0, arena->mem);
  bbw_status rv = add_all(names, graph, err);
  if (rv == BBW_OK) { rv = make_order(names, graph, order, arena, err); }
  if (rv != BBW_OK) { bbw_onnx_names_free(names); }
  return rv;
}

void bbw_onnx_names_free(bbw_onnx_names *names) { bbw_map_free(&names->numbers); }
