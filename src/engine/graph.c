#include "engine/graph.h"

#include <string.h>

#include "base/bytes.h"
#include "base/mem.h"
#include "engine/frame.h"
#include "engine/op.h"
#include "engine/steps.h"

/* Record of a failure: header, op_ref, exec_id, and three texts of bounded length. */
#define FAILURE_ROOM (BBW_STEP_HEADER_BYTES + 16u + 3u * 16u + 64u + 128u + BBW_OP_DETAIL_BYTES_MAX)

/* Most bytes of step records that one dispatch of an op can write. */
static size_t step_room(uint32_t output_count) {
  size_t completed = BBW_STEP_HEADER_BYTES + 16 + 8 + 8 * (size_t)output_count;
  return completed > FAILURE_ROOM ? completed : FAILURE_ROOM;
}

static bool is_recv(const bbw_onnx_node *node) {
  return bbw_str_equal(node->domain, BBW_STR("ai.bytesandbrains.wire")) &&
         bbw_str_equal(node->op_type, BBW_STR("Recv"));
}

/* Site of `name`, made when it is new. */
static bool graph_site_mint(bbw_graph *graph, bbw_str name, uint32_t *site) {
  uint64_t found;
  if (bbw_map_get_bytes(&graph->site_by_name, bbw_str_bytes(name), &found)) {
    *site = (uint32_t)found;
    return true;
  }
  if (!bbw_map_put_bytes(&graph->site_by_name, bbw_str_bytes(name), graph->site_count)) { return false; }
  *site = graph->site_count++;
  graph->sites[*site] = (bbw_site){.name = name,
                                   .output_index = BBW_NO_INDEX,
                                   .sender_site = BBW_NO_INDEX,
                                   .result_first = BBW_NO_INDEX,
                                   .part = *site};
  return true;
}

static uint32_t name_count(const bbw_proto_list *names) { return (uint32_t)names->count; }

static bbw_str name_at(const bbw_proto_list *names, size_t i) { return *BBW_PROTO_AT(names, bbw_str, i); }

/* Numbers the sites: node outputs, then function inputs. */
static bool graph_number_sites(bbw_graph *graph, bbw_graph_kind kind) {
  uint32_t at = 0;
  for (uint32_t i = 0; i < graph->op_count; i++) {
    bbw_op *op = &graph->ops[i];
    uint32_t *sites = graph->site_indices + at;
    for (uint32_t k = 0; k < op->output_count; k++) {
      bbw_str name = name_at(&op->node->output, k);
      /* An empty output has no site: sharing one would let a write of one op wake the readers of another. */
      sites[k] = BBW_NO_INDEX;
      if (name.len != 0 && !graph_site_mint(graph, name, &sites[k])) { return false; }
    }
    op->outputs = sites;
    at += op->output_count;
  }
  uint32_t produced = graph->site_count;
  for (uint32_t i = 0; i < name_count(&graph->function->output); i++) {
    uint32_t site = bbw_graph_site_find(graph, name_at(&graph->function->output, i));
    if (site < produced && graph->sites[site].output_index == BBW_NO_INDEX) { graph->sites[site].output_index = i; }
  }
  if (kind == BBW_GRAPH_LIBRARY) { graph->numbered_count = produced; }
  for (uint32_t i = 0; i < name_count(&graph->function->input); i++) {
    bbw_str name = name_at(&graph->function->input, i);
    graph->formal_sites[i] = BBW_NO_INDEX;
    if (name.len != 0 && !graph_site_mint(graph, name, &graph->formal_sites[i])) { return false; }
  }
  if (kind != BBW_GRAPH_LIBRARY) { graph->numbered_count = graph->site_count; }
  for (uint32_t i = 0; i < name_count(&graph->function->output); i++) {
    graph->result_sites[i] = bbw_graph_site_find(graph, name_at(&graph->function->output, i));
  }
  for (uint32_t i = name_count(&graph->function->output); i-- > 0;) {
    uint32_t site = graph->result_sites[i];
    if (site == BBW_NO_INDEX) { continue; }
    graph->result_next[i] = graph->sites[site].result_first;
    graph->sites[site].result_first = i;
  }
  for (uint32_t i = 0; i < graph->op_count; i++) {
    bbw_op *op = &graph->ops[i];
    uint32_t *sites = graph->site_indices + at;
    for (uint32_t k = 0; k < op->input_count; k++) {
      bbw_str name = name_at(&op->node->input, k);
      sites[k] = name.len == 0 ? BBW_NO_INDEX : bbw_graph_site_find(graph, name);
    }
    op->inputs = sites;
    at += op->input_count;
  }
  return true;
}

/* True the first time that op i touches the site in a pass; `mark` is unique for op and pass. */
static bool site_is_new(bbw_graph *graph, uint32_t site, uint64_t mark) {
  if (graph->sites[site].mark == mark) { return false; }
  graph->sites[site].mark = mark;
  return true;
}

static void graph_count_consumers(bbw_graph *graph) {
  for (uint32_t i = 0; i < graph->op_count; i++) {
    const bbw_op *op = &graph->ops[i];
    bool is_dangling = false;
    for (uint32_t k = 0; k < op->input_count; k++) {
      if (op->inputs[k] == BBW_NO_INDEX) {
        is_dangling = is_dangling || name_at(&op->node->input, k).len != 0;
        continue;
      }
      if (!site_is_new(graph, op->inputs[k], 2 * (uint64_t)i + 1)) { continue; }
      graph->needed[i]++;
      graph->sites[op->inputs[k]].consumer_count++;
    }
    if (is_dangling) { graph->needed[i] = UINT32_MAX; }
  }
}

static void graph_fill_consumers(bbw_graph *graph) {
  uint32_t at = 0;
  for (uint32_t s = 0; s < graph->site_count; s++) {
    graph->sites[s].consumer_first = at;
    at += graph->sites[s].consumer_count;
    graph->sites[s].consumer_count = 0;
  }
  for (uint32_t i = 0; i < graph->op_count; i++) {
    const bbw_op *op = &graph->ops[i];
    for (uint32_t k = 0; k < op->input_count; k++) {
      if (op->inputs[k] == BBW_NO_INDEX || !site_is_new(graph, op->inputs[k], 2 * (uint64_t)i + 2)) { continue; }
      bbw_site *site = &graph->sites[op->inputs[k]];
      graph->consumers[site->consumer_first + site->consumer_count++] = i;
    }
  }
  for (uint32_t i = 0; i < graph->op_count; i++) {
    bbw_op *op = &graph->ops[i];
    op->only_output = op->output_count == 1 ? op->outputs[0] : BBW_NO_INDEX;
    if (op->only_output == BBW_NO_INDEX) { continue; }
    const bbw_site *site = &graph->sites[op->only_output];
    op->readers = graph->consumers + site->consumer_first;
    op->reader_count = site->consumer_count;
  }
}

/* Path halving keeps the chains short: without it, long chains of ops would cost quadratic time. */
static uint32_t part_root(bbw_graph *graph, uint32_t site) {
  bbw_site *sites = graph->sites;
  while (sites[site].part != site) {
    sites[site].part = sites[sites[site].part].part;
    site = sites[site].part;
  }
  return site;
}

/* Joins the sites that one op touches; the smaller root wins, so parts do not depend on the order of joining. */
static void part_join(bbw_graph *graph, uint32_t a, uint32_t b) {
  a = part_root(graph, a);
  b = part_root(graph, b);
  if (a < b) { graph->sites[b].part = a; }
  if (b < a) { graph->sites[a].part = b; }
}

static void graph_find_parts(bbw_graph *graph) {
  for (uint32_t i = 0; i < graph->op_count; i++) {
    bbw_op *op = &graph->ops[i];
    uint32_t first = BBW_NO_INDEX;
    for (uint32_t k = 0; k < op->input_count + op->output_count; k++) {
      uint32_t site = k < op->input_count ? op->inputs[k] : op->outputs[k - op->input_count];
      if (site == BBW_NO_INDEX) { continue; }
      if (first == BBW_NO_INDEX) {
        first = site;
      } else {
        part_join(graph, first, site);
      }
    }
    op->part = first;
  }
  for (uint32_t s = 0; s < graph->site_count; s++) { graph->sites[s].part = part_root(graph, s); }
  for (uint32_t i = 0; i < graph->op_count; i++) {
    bbw_op *op = &graph->ops[i];
    if (op->part != BBW_NO_INDEX) { op->part = graph->sites[op->part].part; }
  }
}

static void graph_mark_recvs(bbw_graph *graph) {
  for (uint32_t i = 0; i < graph->op_count; i++) {
    const bbw_op *op = &graph->ops[i];
    if (!is_recv(op->node) || op->output_count == 0 || op->outputs[0] == BBW_NO_INDEX) { continue; }
    bbw_site *payload = &graph->sites[op->outputs[0]];
    payload->is_recv_payload = true;
    if (op->output_count > 1 && payload->sender_site == BBW_NO_INDEX) { payload->sender_site = op->outputs[1]; }
  }
}

/* How many names all nodes have; false when that, or with those of the function's signature, does not fit 32 bits. */
static bool graph_measure(const bbw_onnx_function *function, uint32_t *node_names) {
  uint64_t total = 0;
  for (size_t i = 0; i < function->node.count; i++) {
    const bbw_onnx_node *node = BBW_PROTO_AT(&function->node, bbw_onnx_node, i);
    total += node->input.count + node->output.count;
    if (total >= BBW_NO_INDEX) { return false; }
  }
  *node_names = (uint32_t)total;
  total += function->input.count + function->output.count;
  if (total >= BBW_NO_INDEX || function->node.count >= BBW_NO_INDEX) { return false; }
  return true;
}

/* Most sites that a function can have: so many that no output name is empty or repeated. */
static size_t sites_max(const bbw_onnx_function *function) {
  size_t count = function->input.count;
  for (size_t i = 0; i < function->node.count; i++) {
    count += BBW_PROTO_AT(&function->node, bbw_onnx_node, i)->output.count;
  }
  return count;
}

bbw_status bbw_graph_new(bbw_graph **out, bbw_str name, const bbw_onnx_function *function, bbw_graph_kind kind,
                         uint32_t index, uint64_t site_base, const bbw_mem *mem) {
  uint32_t node_names;
  if (!graph_measure(function, &node_names)) { return BBW_E_LIMIT; }
  bbw_graph *graph = bbw_mem_array(mem, 1, sizeof(*graph));
  if (graph == NULL) { return BBW_E_NOMEM; }
  graph->name = name;
  graph->function = function;
  graph->index = index;
  graph->is_entry_point = kind == BBW_GRAPH_ENTRY;
  graph->is_bootstrap = kind == BBW_GRAPH_BOOTSTRAP;
  graph->boot_component = BBW_NO_INDEX;
  graph->site_base = site_base;
  graph->op_count = (uint32_t)function->node.count;
  graph->site_index_count = node_names;
  graph->consumer_count = node_names;
  bbw_map_init(&graph->site_by_name, 0x5173u ^ index, mem);
  /* An array of at least one element, so that NULL always means failure. */
  graph->ops = bbw_mem_array(mem, (size_t)graph->op_count + 1, sizeof(bbw_op));
  graph->needed = bbw_mem_array(mem, (size_t)graph->op_count + 1, sizeof(uint32_t));
  graph->sites = bbw_mem_array(mem, sites_max(function) + 1, sizeof(bbw_site));
  graph->site_indices = bbw_mem_array(mem, (size_t)node_names + 1, sizeof(uint32_t));
  graph->consumers = bbw_mem_array(mem, (size_t)node_names + 1, sizeof(uint32_t));
  graph->starters = bbw_mem_array(mem, (size_t)graph->op_count + 1, sizeof(uint32_t));
  graph->formal_sites = bbw_mem_array(mem, function->input.count + 1, sizeof(uint32_t));
  graph->result_sites = bbw_mem_array(mem, function->output.count + 1, sizeof(uint32_t));
  graph->result_next = bbw_mem_array(mem, function->output.count + 1, sizeof(uint32_t));
  bool ok = bbw_map_reserve(&graph->site_by_name, sites_max(function)) && graph->ops != NULL && graph->needed != NULL &&
            graph->sites != NULL && graph->site_indices != NULL && graph->consumers != NULL &&
            graph->starters != NULL && graph->formal_sites != NULL && graph->result_sites != NULL &&
            graph->result_next != NULL;
  for (uint32_t i = 0; ok && i < graph->op_count; i++) {
    const bbw_onnx_node *node = BBW_PROTO_AT(&function->node, bbw_onnx_node, i);
    graph->ops[i] = (bbw_op){
        .node = node, .input_count = name_count(&node->input), .output_count = name_count(&node->output)};
    graph->ops[i].step_room = step_room(graph->ops[i].output_count);
  }
  if (!ok || !graph_number_sites(graph, kind)) {
    bbw_graph_del(graph, mem);
    return BBW_E_NOMEM;
  }
  graph_count_consumers(graph);
  graph_fill_consumers(graph);
  graph_find_parts(graph);
  graph_mark_recvs(graph);
  *out = graph;
  return BBW_OK;
}

void bbw_graph_del(bbw_graph *graph, const bbw_mem *mem) {
  if (graph == NULL) { return; }
  bbw_frame_pool_free(graph, mem);
  bbw_mem_array_free(mem, graph->ops, (size_t)graph->op_count + 1, sizeof(bbw_op));
  bbw_mem_array_free(mem, graph->needed, (size_t)graph->op_count + 1, sizeof(uint32_t));
  bbw_mem_array_free(mem, graph->sites, sites_max(graph->function) + 1, sizeof(bbw_site));
  bbw_mem_array_free(mem, graph->site_indices, graph->site_index_count + 1, sizeof(uint32_t));
  bbw_mem_array_free(mem, graph->consumers, (size_t)graph->consumer_count + 1, sizeof(uint32_t));
  bbw_mem_array_free(mem, graph->starters, (size_t)graph->op_count + 1, sizeof(uint32_t));
  bbw_mem_array_free(mem, graph->formal_sites, graph->function->input.count + 1, sizeof(uint32_t));
  bbw_mem_array_free(mem, graph->result_sites, graph->function->output.count + 1, sizeof(uint32_t));
  bbw_mem_array_free(mem, graph->result_next, graph->function->output.count + 1, sizeof(uint32_t));
  bbw_map_free(&graph->site_by_name);
  bbw_mem_array_free(mem, graph, 1, sizeof(*graph));
}

void bbw_graph_find_starters(bbw_graph *graph) {
  graph->starter_count = 0;
  for (uint32_t i = 0; i < graph->op_count; i++) {
    bool is_starter = graph->needed[i] == 0 && graph->ops[i].readiness != BBW_READY_SOURCE;
    if (is_starter) { graph->starters[graph->starter_count++] = i; }
  }
}

uint32_t bbw_graph_site_find(const bbw_graph *graph, bbw_str name) {
  uint64_t site;
  return bbw_map_get_bytes(&graph->site_by_name, bbw_str_bytes(name), &site) ? (uint32_t)site : BBW_NO_INDEX;
}

uint64_t bbw_graph_op_ref(const bbw_graph *graph, uint32_t op) { return (uint64_t)graph->index << 32 | op; }
