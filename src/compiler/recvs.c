/* recvs: each Send whose value is used gets a Recv in every class that uses it (authoring specification §2.11). */
#include "base/bytes.h"
#include "base/map.h"
#include "base/mem.h"
#include "compiler/ir.h"
#include "compiler/readers.h"

#define SELF BBW_STR("@self")

static bbw_str home_of(const bbw_onnx_node *node) {
  bbw_str home = bbw_ir_meta(node, BBW_BB "home_class");
  return home.len == 0 ? SELF : home;
}

static bool reads(const bbw_onnx_node *node, bbw_str name) {
  for (size_t k = 0; k < node->input.count; k++) {
    if (bbw_str_equal(bbw_ir_input(node, k), name)) { return true; }
  }
  return false;
}

typedef struct recvs {
  bbw_ir *ir;
  bbw_ir_list *nodes;
  bbw_ir_readers readers;
  uint64_t seq;
} recvs;

/* The smallest class above `after` (NULL: the smallest of all) among the readers of `name`; false when there is none. */
static bool next_class(const recvs *r, bbw_str name, const bbw_str *after, bbw_str *out) {
  bool is_found = false;
  size_t i;
  for (size_t at = 0; bbw_ir_readers_next(&r->readers, name, &at, &i);) {
    const bbw_onnx_node *node = BBW_IR_AT(r->nodes, bbw_onnx_node, i);
    if (!reads(node, name)) { continue; }
    bbw_str home = home_of(node);
    if (after != NULL && bbw_bytes_compare(bbw_str_bytes(home), bbw_str_bytes(*after)) <= 0) { continue; }
    if (!is_found || bbw_bytes_compare(bbw_str_bytes(home), bbw_str_bytes(*out)) < 0) { *out = home; }
    is_found = true;
  }
  return is_found;
}

static bbw_status add_recv(recvs *r, bbw_ir_list *out, bbw_str name, bbw_str home) {
  bbw_ir *ir = r->ir;
  bbw_str payload = bbw_ir_text(ir, name, BBW_STR("__recv_"), bbw_ir_number(ir, r->seq++));
  bbw_str sender = bbw_ir_text(ir, payload, BBW_STR("__sender"), BBW_STR(""));
  bbw_onnx_node *recv = bbw_ir_add_node(ir, out, BBW_STR(BBW_BB "wire"), BBW_STR("Recv"), BBW_STR(""));
  if (payload.ptr == NULL || sender.ptr == NULL || recv == NULL) { return BBW_E_NOMEM; }
  bbw_status rv = bbw_ir_add_name(ir, &recv->output, payload);
  if (rv == BBW_OK) { rv = bbw_ir_add_name(ir, &recv->output, sender); }
  if (rv == BBW_OK) { rv = bbw_ir_set_meta(ir, recv, BBW_BB "home_class", home); }
  if (rv == BBW_OK) { rv = bbw_ir_set_meta(ir, recv, BBW_BB "synthesized_from_send", name); }
  size_t i;
  for (size_t at = 0; rv == BBW_OK && bbw_ir_readers_next(&r->readers, name, &at, &i);) {
    bbw_onnx_node *node = BBW_IR_AT(r->nodes, bbw_onnx_node, i);
    if (bbw_str_equal(home_of(node), home)) { rv = bbw_ir_replace_input(ir, node, name, payload); }
  }
  return rv;
}

/* The Recvs of node i, if it is a Send whose value is used; they go behind it. */
static bbw_status add_recvs(recvs *r, size_t i, bbw_ir_list *behind) {
  bbw_onnx_node *send = BBW_IR_AT(r->nodes, bbw_onnx_node, i);
  bbw_str name = bbw_ir_output(send, 0);
  bbw_str home;
  if (!bbw_ir_is_send(send) || name.len == 0 || !next_class(r, name, NULL, &home)) { return BBW_OK; }
  bbw_str sentinel = bbw_ir_text(r->ir, name, BBW_STR("__send_sentinel_"), bbw_ir_number(r->ir, i));
  if (sentinel.ptr == NULL) { return BBW_E_NOMEM; }
  bbw_status rv = bbw_ir_rename(r->ir, &send->output, 0, sentinel);
  bool has_class = true;
  while (rv == BBW_OK && has_class) {
    rv = add_recv(r, behind, name, home);
    bbw_str after = home;
    has_class = next_class(r, name, &after, &home);
  }
  return rv;
}

bbw_status bbw_pass_synthesize_recvs(bbw_ir *ir) {
  bbw_ir_function *root = BBW_IR_AT(&ir->functions, bbw_ir_function, 0);
  recvs r = {.ir = ir, .nodes = &root->nodes};
  /* Inputs are replaced in the old list first and copied afterwards. */
  bbw_ir_list *behind = bbw_arena_array(ir->arena, r.nodes->count, sizeof(*behind));
  if (behind == NULL) { return BBW_E_NOMEM; }
  bbw_ir_readers_init(&r.readers, ir);
  bbw_status rv = bbw_ir_readers_build(&r.readers, ir, r.nodes);
  for (size_t i = 0; rv == BBW_OK && i < r.nodes->count; i++) {
    bbw_ir_list_init(&behind[i], sizeof(bbw_onnx_node));
    rv = add_recvs(&r, i, &behind[i]);
  }
  bbw_ir_readers_free(&r.readers);
  bbw_ir_list out;
  bbw_ir_list_init(&out, sizeof(bbw_onnx_node));
  for (size_t i = 0; rv == BBW_OK && i < r.nodes->count; i++) {
    bool ok = bbw_ir_append(ir, &out, BBW_IR_AT(r.nodes, bbw_onnx_node, i), 1) &&
              bbw_ir_append(ir, &out, behind[i].items, behind[i].count);
    if (!ok) { rv = BBW_E_NOMEM; }
  }
  if (rv == BBW_OK) { root->nodes = out; }
  return rv;
}
