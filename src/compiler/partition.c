/* partition: one target per peer class, its name with a hash of its nodes, and the routes between targets (authoring specification §2.12, §2.16, §6.4). */
#include "base/bytes.h"
#include "base/hash.h"
#include "base/map.h"
#include "bbw/address.h"
#include "compiler/ir.h"
#include "format/route.h"

#define SELF BBW_STR("@self")

bbw_status bbw_pass_partition(bbw_ir *ir, bbw_ir_list *partitions) {
  const bbw_ir_function *root = BBW_IR_AT(&ir->functions, bbw_ir_function, 0);
  bbw_ir_list_init(partitions, sizeof(bbw_ir_partition));
  for (size_t i = 0; i < root->nodes.count; i++) {
    const bbw_onnx_node *node = BBW_IR_AT(&root->nodes, bbw_onnx_node, i);
    bbw_str home = bbw_ir_meta(node, BBW_BB "home_class");
    if (home.len == 0) { home = SELF; }
    bbw_ir_partition *found = NULL;
    for (size_t p = 0; p < partitions->count && found == NULL; p++) {
      bbw_ir_partition *partition = BBW_IR_AT(partitions, bbw_ir_partition, p);
      if (bbw_str_equal(partition->peer_class, home)) { found = partition; }
    }
    if (found == NULL) {
      found = bbw_ir_push(ir, partitions);
      if (found == NULL) { return BBW_E_NOMEM; }
      found->peer_class = home;
      bbw_ir_list_init(&found->nodes, sizeof(bbw_onnx_node));
    }
    if (!bbw_ir_append(ir, &found->nodes, node, 1)) { return BBW_E_NOMEM; }
  }
  /* Ascending by class: insertion sort, there are few. */
  bbw_ir_partition *items = partitions->items;
  for (size_t i = 1; i < partitions->count; i++) {
    bbw_ir_partition moved = items[i];
    size_t k = i;
    for (; k > 0 && bbw_bytes_compare(bbw_str_bytes(moved.peer_class), bbw_str_bytes(items[k - 1].peer_class)) < 0;
         k--) {
      items[k] = items[k - 1];
    }
    items[k] = moved;
  }
  return BBW_OK;
}

static void hash_text(bbw_siphash *hash, bbw_str text) {
  static const uint8_t end = 0xff;
  bbw_siphash_write(hash, bbw_str_bytes(text));
  bbw_siphash_write(hash, (bbw_bytes){&end, 1});
}

static void hash_count(bbw_siphash *hash, uint64_t count) {
  uint8_t bytes[8]; /* always eight, whatever machine compiles */
  bbw_store_u64le(bytes, count);
  bbw_siphash_write(hash, (bbw_bytes){bytes, sizeof(bytes)});
}

static uint64_t hash_nodes(const bbw_ir_list *nodes) {
  bbw_siphash hash;
  bbw_siphash_init(&hash);
  for (size_t i = 0; i < nodes->count; i++) {
    const bbw_onnx_node *node = BBW_IR_AT(nodes, bbw_onnx_node, i);
    hash_text(&hash, node->op_type);
    hash_text(&hash, node->domain);
    hash_text(&hash, node->overload);
    hash_count(&hash, node->input.count);
    hash_count(&hash, node->output.count);
    for (size_t k = 0; k < node->input.count; k++) { hash_text(&hash, bbw_ir_input(node, k)); }
    for (size_t k = 0; k < node->output.count; k++) { hash_text(&hash, bbw_ir_output(node, k)); }
    for (size_t k = 0; k < node->attribute.count; k++) {
      hash_text(&hash, BBW_PROTO_AT(&node->attribute, bbw_onnx_attribute, k)->name);
    }
  }
  return bbw_siphash_finish(&hash);
}

/* The class itself when it continues the module's name, else module_class; the local classes take the module's name. */
static bbw_str base_name(bbw_ir *ir, bbw_str module, bbw_str peer_class) {
  for (size_t i = 0; i < ir->options->target_name_count; i++) {
    if (bbw_str_equal(ir->options->target_names[i].peer_class, peer_class)) {
      return ir->options->target_names[i].name;
    }
  }
  if (bbw_str_equal(peer_class, SELF) || bbw_str_equal(peer_class, BBW_STR("@default"))) { return module; }
  bool is_own = bbw_str_equal(peer_class, module);
  bool continues = bbw_str_starts_with(peer_class, module) && peer_class.len > module.len &&
                   peer_class.ptr[module.len] == '_';
  return is_own || continues ? peer_class : bbw_ir_text(ir, module, BBW_STR("_"), peer_class);
}

bbw_status bbw_pass_name(bbw_ir *ir, bbw_ir_partition *partition) {
  static const char digits[] = "0123456789abcdef";
  uint64_t hash = hash_nodes(&partition->nodes);
  char hex[16];
  for (unsigned i = 0; i < 16; i++) { hex[i] = digits[hash >> (60 - 4 * i) & 15]; }
  bbw_str base = base_name(ir, BBW_IR_AT(&ir->functions, bbw_ir_function, 0)->name, partition->peer_class);
  if (base.len != 0 && memchr(base.ptr, '.', base.len) != NULL) {
    /* Binding keys split at the first dot, so such a target would lose its components. */
    return bbw_ir_fail(ir, BBW_E_COMP_INTERNAL, NULL, "target_with_dot", base);
  }
  partition->name = bbw_ir_text(ir, base, BBW_STR("#"), (bbw_str){hex, sizeof(hex)});
  return partition->name.ptr == NULL ? BBW_E_NOMEM : BBW_OK;
}

/* A Recv that a Send feeds. */
typedef struct receiver {
  const bbw_ir_partition *partition;
  bbw_str value;    /* its payload */
  uint64_t ordinal; /* the number that a reference node gives the payload when it installs this target first */
} receiver;

typedef struct receivers {
  bbw_map by_send;  /* output of the Send before it was renamed -> place in list; the first Recv counts */
  bbw_ir_list list; /* receiver */
} receivers;

static bbw_status note_receiver(bbw_ir *ir, receivers *r, const bbw_ir_partition *partition, const bbw_onnx_node *recv,
                                uint64_t ordinal) {
  bbw_str send = bbw_ir_meta(recv, BBW_BB "synthesized_from_send");
  uint64_t taken;
  if (!bbw_ir_is_recv(recv) || bbw_map_get_bytes(&r->by_send, bbw_str_bytes(send), &taken)) { return BBW_OK; }
  receiver one = {.partition = partition, .value = bbw_ir_output(recv, 0), .ordinal = ordinal};
  bool ok = bbw_map_put_bytes(&r->by_send, bbw_str_bytes(send), r->list.count) && bbw_ir_append(ir, &r->list, &one, 1);
  return ok ? BBW_OK : BBW_E_NOMEM;
}

/* Numbers the values of a partition in order of first sight, and notes its Recvs. */
static bbw_status note_receivers(bbw_ir *ir, receivers *r, const bbw_ir_partition *partition) {
  bbw_map numbers;
  bbw_map_init(&numbers, 0x04d1, ir->mem);
  bbw_status rv = BBW_OK;
  for (size_t i = 0; rv == BBW_OK && i < partition->nodes.count; i++) {
    const bbw_onnx_node *node = BBW_IR_AT(&partition->nodes, bbw_onnx_node, i);
    uint64_t number = 0;
    for (size_t k = 0; rv == BBW_OK && k < node->output.count; k++) {
      bbw_bytes name = bbw_str_bytes(bbw_ir_output(node, k));
      uint64_t seen = numbers.count;
      bool is_new = name.len != 0 && !bbw_map_get_bytes(&numbers, name, &seen);
      if (is_new && !bbw_map_put_bytes(&numbers, name, seen)) { rv = BBW_E_NOMEM; }
      if (k == 0) { number = seen; }
    }
    if (rv == BBW_OK) { rv = note_receiver(ir, r, partition, node, number); }
  }
  bbw_map_free(&numbers);
  return rv;
}

static bbw_status route_send(bbw_ir *ir, const receivers *r, bbw_onnx_node *send) {
  bbw_str marker = BBW_STR("__send_sentinel_");
  bbw_str name = bbw_ir_output(send, 0);
  size_t cut = name.len;
  while (cut >= marker.len && !bbw_str_ends_with((bbw_str){name.ptr, cut}, marker)) { cut--; }
  if (cut < marker.len || send->input.count == 0) {
    return BBW_OK;
  } /* nobody uses the value: there is no receiver to name */
  uint64_t found;
  if (!bbw_map_get_bytes(&r->by_send, (bbw_bytes){(const uint8_t *)name.ptr, cut - marker.len}, &found)) {
    return BBW_OK;
  }
  const receiver *to = BBW_IR_AT(&r->list, receiver, (size_t)found);
  bbw_segment site = {.kind = BBW_SEGMENT_SITE, .number = bbw_route_id(to->partition->name, to->value)};
  if (ir->options->routing == BBW_ROUTING_ORDINAL) { site.number = to->ordinal; }
  uint8_t buf[16];
  size_t len = 0;
  bbw_status rv = bbw_address_append(buf, sizeof(buf), &len, &site);
  if (rv != BBW_OK) { return rv; }
  bool ok;
  bbw_bytes suffix = bbw_arena_copy(ir->arena, (bbw_bytes){buf, len}, &ok);
  bbw_str key = bbw_ir_text(ir, BBW_STR(BBW_BB "dest_suffix."), bbw_ir_input(send, 0), BBW_STR(""));
  if (!ok || key.ptr == NULL) { return BBW_E_NOMEM; }
  return bbw_ir_set_bytes(ir, send, key, suffix);
}

static bbw_status route(bbw_ir *ir, bbw_ir_list *partitions, receivers *r) {
  bbw_status rv = BBW_OK;
  for (size_t p = 0; rv == BBW_OK && p < partitions->count; p++) {
    rv = note_receivers(ir, r, BBW_IR_AT(partitions, bbw_ir_partition, p));
  }
  for (size_t p = 0; rv == BBW_OK && p < partitions->count; p++) {
    bbw_ir_partition *partition = BBW_IR_AT(partitions, bbw_ir_partition, p);
    for (size_t i = 0; rv == BBW_OK && i < partition->nodes.count; i++) {
      bbw_onnx_node *node = BBW_IR_AT(&partition->nodes, bbw_onnx_node, i);
      if (bbw_ir_is_send(node)) { rv = route_send(ir, r, node); }
    }
  }
  return rv;
}

bbw_status bbw_pass_route(bbw_ir *ir, bbw_ir_list *partitions) {
  receivers r;
  bbw_map_init(&r.by_send, 0x5e4d, ir->mem);
  bbw_ir_list_init(&r.list, sizeof(receiver));
  bbw_status rv = route(ir, partitions, &r);
  bbw_map_free(&r.by_send);
  return rv;
}
