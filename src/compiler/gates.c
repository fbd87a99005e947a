/* gates: protection of what comes in and goes out, and time budgets (authoring specification §2.5, §2.13-2.14). */
#include "base/bytes.h"
#include "compiler/ir.h"
#include "compiler/readers.h"

#define SYSCALL            BBW_STR(BBW_BB "syscall")
#define DEADLINE           BBW_STR("deadline_ns")
#define PER_HOP_DEFAULT_NS UINT64_C(100000000)

typedef struct gate_row {
  const char *op_type;
  const char *output; /* behind the protected node's name */
  const char *source; /* metadata on the gate */
  const char *gated;  /* metadata on the protected node */
} gate_row;

static const gate_row rx_gates[] = {
    {"DedupGateRx", "#dedup_rx_out", BBW_BB "dedup_rx_source", BBW_BB "dedup_rx_gated"},
    {"PeerHealthGateRx", "#peer_health_rx_out", BBW_BB "peer_health_rx_source", BBW_BB "peer_health_rx_gated"},
    {"BackoffGateRx", "#backoff_rx_out", BBW_BB "backoff_rx_source", BBW_BB "backoff_rx_gated"},
};
static const gate_row tx_gates[] = {
    {"PeerHealthGateTx", "#peer_health_tx_gated", BBW_BB "peer_health_tx_source", BBW_BB "peer_health_tx_gated"},
    {"BackoffGateTx", "#backoff_tx_gated", BBW_BB "backoff_tx_source", BBW_BB "backoff_tx_gated"},
};

static bbw_str text(const char *literal) { return (bbw_str){literal, strlen(literal)}; }

static bbw_onnx_node *node_at(const bbw_ir_partition *partition, size_t i) {
  return BBW_IR_AT(&partition->nodes, bbw_onnx_node, i);
}

bbw_status bbw_pass_derive_deadlines(bbw_ir *ir) {
  uint64_t per_hop_ns = ir->options->per_hop_budget_ns == 0 ? PER_HOP_DEFAULT_NS : ir->options->per_hop_budget_ns;
  if (per_hop_ns > INT64_MAX) { per_hop_ns = INT64_MAX; }
  for (size_t f = 0; f < ir->functions.count; f++) {
    bbw_ir_function *function = BBW_IR_AT(&ir->functions, bbw_ir_function, f);
    for (size_t i = 0; i < function->nodes.count; i++) {
      bbw_onnx_node *node = BBW_IR_AT(&function->nodes, bbw_onnx_node, i);
      if (!bbw_ir_is_send(node)) { continue; }
      uint64_t depth = 1;
      if (!bbw_parse_u64(bbw_ir_meta(node, BBW_BB "wire.chain_depth"), &depth)) { depth = 1; }
      uint64_t total = depth != 0 && per_hop_ns > (uint64_t)INT64_MAX / depth ? (uint64_t)INT64_MAX
                                                                              : depth * per_hop_ns;
      bbw_status rv = bbw_ir_set_int(ir, node, DEADLINE, (int64_t)total);
      if (rv != BBW_OK) { return rv; }
    }
  }
  return BBW_OK;
}

/* Several unnamed Sends or Recvs would give their gates one value name; they are named apart then. */
static bbw_status name_wire_nodes(bbw_ir *ir, bbw_ir_partition *partition) {
  size_t sends = 0;
  size_t recvs = 0;
  for (size_t i = 0; i < partition->nodes.count; i++) {
    sends += bbw_ir_is_send(node_at(partition, i));
    recvs += bbw_ir_is_recv(node_at(partition, i));
  }
  for (size_t i = 0; i < partition->nodes.count; i++) {
    bbw_onnx_node *node = node_at(partition, i);
    bool is_ambiguous = (bbw_ir_is_send(node) && sends > 1) || (bbw_ir_is_recv(node) && recvs > 1);
    if (!is_ambiguous || node->name.len != 0) { continue; }
    node->name = bbw_ir_text(ir, bbw_ir_is_send(node) ? BBW_STR("s") : BBW_STR("r"), bbw_ir_number(ir, i), BBW_STR(""));
    if (node->name.ptr == NULL) { return BBW_E_NOMEM; }
  }
  return BBW_OK;
}

static bbw_status add_gate(bbw_ir *ir, bbw_ir_list *gates, const gate_row *row, const bbw_onnx_node *of, bbw_str input,
                           bbw_str *output, bbw_onnx_node **out) {
  bbw_str name = bbw_ir_text(ir, text(row->op_type), BBW_STR("@"), of->name);
  *output = bbw_ir_text(ir, of->name, text(row->output), BBW_STR(""));
  bbw_onnx_node *gate = bbw_ir_add_node(ir, gates, SYSCALL, text(row->op_type), name);
  if (name.ptr == NULL || output->ptr == NULL || gate == NULL) { return BBW_E_NOMEM; }
  bbw_status rv = bbw_ir_add_name(ir, &gate->input, input);
  if (rv == BBW_OK) { rv = bbw_ir_add_name(ir, &gate->output, *output); }
  if (rv == BBW_OK) { rv = bbw_ir_set_meta(ir, gate, row->source, of->name); }
  *out = gate;
  return rv;
}

/* Who read the value reads what the gate lets through. */
static bbw_status redirect(bbw_ir *ir, bbw_ir_partition *partition, const bbw_ir_readers *readers, size_t except,
                           bbw_str from, bbw_str to) {
  bbw_status rv = BBW_OK;
  size_t node;
  for (size_t at = 0; rv == BBW_OK && bbw_ir_readers_next(readers, from, &at, &node);) {
    if (node != except) { rv = bbw_ir_replace_input(ir, node_at(partition, node), from, to); }
  }
  return rv;
}

static bbw_status add_rx_gates(bbw_ir *ir, bbw_ir_partition *partition, const gate_row *row,
                               const bbw_ir_readers *readers) {
  bbw_ir_list gates;
  bbw_ir_list_init(&gates, sizeof(bbw_onnx_node));
  for (size_t i = 0; i < partition->nodes.count; i++) {
    bbw_onnx_node *recv = node_at(partition, i);
    if (!bbw_ir_is_recv(recv) || bbw_ir_has_meta(recv, row->gated)) { continue; }
    bbw_str head = bbw_ir_meta(recv, BBW_BB "rx_chain_head");
    if (head.len == 0) { head = bbw_ir_output(recv, 0); }
    bbw_str output;
    bbw_onnx_node *gate;
    bbw_status rv = add_gate(ir, &gates, row, recv, head, &output, &gate);
    if (rv == BBW_OK) { rv = redirect(ir, partition, readers, i, head, output); }
    if (rv == BBW_OK) { rv = bbw_ir_set_meta(ir, recv, row->gated, BBW_STR("true")); }
    if (rv == BBW_OK) { rv = bbw_ir_set_meta(ir, recv, BBW_BB "rx_chain_head", output); }
    if (rv != BBW_OK) { return rv; }
  }
  return bbw_ir_append(ir, &partition->nodes, gates.items, gates.count) ? BBW_OK : BBW_E_NOMEM;
}

static bbw_status add_rx(bbw_ir *ir, bbw_ir_partition *partition, const gate_row *row) {
  bbw_ir_readers readers;
  bbw_ir_readers_init(&readers, ir);
  bbw_status rv = bbw_ir_readers_build(&readers, ir, &partition->nodes);
  if (rv == BBW_OK) { rv = add_rx_gates(ir, partition, row, &readers); }
  bbw_ir_readers_free(&readers);
  return rv;
}

static bbw_status add_tx(bbw_ir *ir, bbw_ir_partition *partition, const gate_row *row) {
  bbw_ir_list gates;
  bbw_ir_list_init(&gates, sizeof(bbw_onnx_node));
  for (size_t i = 0; i < partition->nodes.count; i++) {
    bbw_onnx_node *send = node_at(partition, i);
    const bbw_onnx_attribute *peer = bbw_onnx_attribute_find(send, BBW_STR("peer"));
    bool is_open = bbw_ir_is_send(send) && peer != NULL && peer->s.len != 0 && send->input.count != 0 &&
                   !bbw_ir_has_meta(send, row->gated);
    if (!is_open) { continue; }
    bbw_str output;
    bbw_onnx_node *gate;
    bbw_status rv = add_gate(ir, &gates, row, send, bbw_ir_input(send, 0), &output, &gate);
    if (rv == BBW_OK) { rv = bbw_ir_set_bytes(ir, gate, BBW_STR("peer"), peer->s); }
    if (rv == BBW_OK) { rv = bbw_ir_set_meta(ir, gate, row->gated, BBW_STR("true")); }
    if (rv == BBW_OK) { rv = bbw_ir_rename(ir, &send->input, 0, output); }
    if (rv == BBW_OK) { rv = bbw_ir_set_meta(ir, send, row->gated, BBW_STR("true")); }
    if (rv != BBW_OK) { return rv; }
  }
  return bbw_ir_append(ir, &partition->nodes, gates.items, gates.count) ? BBW_OK : BBW_E_NOMEM;
}

bbw_status bbw_pass_gates(bbw_ir *ir, bbw_ir_partition *partition) {
  bbw_status rv = name_wire_nodes(ir, partition);
  for (size_t i = 0; rv == BBW_OK && i < sizeof(rx_gates) / sizeof(rx_gates[0]); i++) {
    rv = add_rx(ir, partition, &rx_gates[i]);
  }
  for (size_t i = 0; rv == BBW_OK && i < sizeof(tx_gates) / sizeof(tx_gates[0]); i++) {
    rv = add_tx(ir, partition, &tx_gates[i]);
  }
  return rv;
}

bbw_status bbw_pass_deadline_gates(bbw_ir *ir, bbw_ir_partition *partition) {
  static const gate_row row = {"DeadlineCheck", "#__trigger_deadline", BBW_BB "deadline_source",
                               BBW_BB "deadline_gated"};
  bbw_ir_list gates;
  bbw_ir_list_init(&gates, sizeof(bbw_onnx_node));
  for (size_t i = 0; i < partition->nodes.count; i++) {
    bbw_onnx_node *node = node_at(partition, i);
    const bbw_onnx_attribute *deadline = bbw_onnx_attribute_find(node, DEADLINE);
    if (deadline == NULL || bbw_ir_has_meta(node, row.gated) || node->input.count == 0) { continue; }
    int64_t budget_ns = deadline->i;
    bbw_str output;
    bbw_onnx_node *gate;
    bbw_status rv = add_gate(ir, &gates, &row, node, bbw_ir_input(node, 0), &output, &gate);
    if (rv == BBW_OK) { rv = bbw_ir_set_int(ir, gate, DEADLINE, budget_ns); }
    if (rv == BBW_OK) { rv = bbw_ir_set_meta(ir, gate, row.gated, BBW_STR("true")); }
    if (rv == BBW_OK) { rv = bbw_ir_add_name(ir, &node->input, output); }
    if (rv == BBW_OK) { rv = bbw_ir_set_meta(ir, node, row.gated, BBW_STR("true")); }
    if (rv != BBW_OK) { return rv; }
  }
  return bbw_ir_append(ir, &partition->nodes, gates.items, gates.count) ? BBW_OK : BBW_E_NOMEM;
}
