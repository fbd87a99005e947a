/* inline: every call is replaced by the callee's nodes (authoring specification §2.4, with a fixed order and all calls). */
#include <string.h>

#include "base/bytes.h"
#include "base/map.h"
#include "base/mem.h"
#include "compiler/ir.h"

#define DOMAIN_MODULE BBW_STR(BBW_BB "module")
#define KEY_PHASE     BBW_STR(BBW_BB "module_phase")
#define NO_FUNCTION   SIZE_MAX

static bbw_ir_function *function_at(bbw_ir *ir, size_t i) { return BBW_IR_AT(&ir->functions, bbw_ir_function, i); }

static size_t function_find(bbw_ir *ir, bbw_str name) {
  for (size_t i = 0; i < ir->functions.count; i++) {
    if (bbw_str_equal(function_at(ir, i)->name, name)) { return i; }
  }
  return NO_FUNCTION;
}

/* The function that a node calls, or NO_FUNCTION. */
static size_t callee_of(bbw_ir *ir, const bbw_onnx_node *node) {
  return bbw_str_equal(node->domain, DOMAIN_MODULE) ? function_find(ir, node->op_type) : NO_FUNCTION;
}

static bool is_bootstrap(const bbw_ir_function *function) {
  bbw_proto_list metadata = bbw_ir_proto(&function->metadata);
  bbw_str phase;
  return bbw_onnx_entry_find(&metadata, KEY_PHASE, &phase) && bbw_str_equal(phase, BBW_STR("bootstrap"));
}

enum { UNSEEN, OPEN, DONE };

typedef struct visit {
  size_t function;
  size_t next_node;
} visit;

/* Callees before callers, starting in the order of the function table.  A function that is met while it is open calls itself. */
static bbw_status order_functions(bbw_ir *ir, size_t *order) {
  size_t count = ir->functions.count;
  uint8_t *state = bbw_arena_array(ir->arena, count, 1);
  visit *stack = bbw_arena_array(ir->arena, count, sizeof(*stack));
  if (state == NULL || stack == NULL) { return BBW_E_NOMEM; }
  size_t ordered = 0;
  for (size_t start = 0; start < count; start++) {
    if (state[start] != UNSEEN) { continue; }
    size_t depth = 0;
    stack[depth++] = (visit){.function = start};
    state[start] = OPEN;
    while (depth != 0) {
      visit *top = &stack[depth - 1];
      const bbw_ir_function *function = function_at(ir, top->function);
      if (top->next_node == function->nodes.count) {
        state[top->function] = DONE;
        order[ordered++] = top->function;
        depth--;
        continue;
      }
      const bbw_onnx_node *node = BBW_IR_AT(&function->nodes, bbw_onnx_node, top->next_node++);
      size_t callee = callee_of(ir, node);
      if (callee == NO_FUNCTION) {
        if (bbw_str_equal(node->domain, DOMAIN_MODULE)) {
          return bbw_ir_fail(ir, BBW_E_COMP_INTERNAL, node, "missing_function", node->op_type);
        }
        continue;
      }
      if (state[callee] == OPEN) {
        return bbw_ir_fail(ir, BBW_E_COMP_CYCLE, node, "recursive_function", node->op_type);
      }
      if (state[callee] == DONE) { continue; }
      state[callee] = OPEN;
      stack[depth++] = (visit){.function = callee};
    }
  }
  return BBW_OK;
}

typedef struct splice {
  bbw_ir *ir;
  bbw_map names;     /* name in the body -> index into texts */
  bbw_ir_list texts; /* bbw_str */
  bbw_str suffix;    /* "#inl<k>" */
} splice;

static bbw_status splice_put(splice *s, bbw_str from, bbw_str to) {
  if (!bbw_ir_append(s->ir, &s->texts, &to, 1)) { return BBW_E_NOMEM; }
  return bbw_map_put_bytes(&s->names, bbw_str_bytes(from), s->texts.count - 1) ? BBW_OK : BBW_E_NOMEM;
}

static bool splice_get(const splice *s, bbw_str from, bbw_str *to) {
  uint64_t index;
  if (!bbw_map_get_bytes(&s->names, bbw_str_bytes(from), &index)) { return false; }
  *to = *BBW_IR_AT(&s->texts, bbw_str, (size_t)index);
  return true;
}

static bbw_status splice_names(splice *s, bbw_proto_list *names) {
  bbw_str *copy = bbw_arena_array(s->ir->arena, names->count, sizeof(*copy));
  if (copy == NULL) { return BBW_E_NOMEM; }
  for (size_t i = 0; i < names->count; i++) {
    bbw_str name = *BBW_PROTO_AT(names, bbw_str, i);
    copy[i] = name;
    if (name.len == 0 || splice_get(s, name, &copy[i])) { continue; }
    copy[i] = bbw_ir_text(s->ir, name, s->suffix, BBW_STR(""));
    if (copy[i].ptr == NULL || splice_put(s, name, copy[i]) != BBW_OK) { return BBW_E_NOMEM; }
  }
  names->items = copy;
  return BBW_OK;
}

/* Formals take the call's inputs, outputs the call's outputs; a name that is both takes the output. */
static bbw_status splice_bind(splice *s, const bbw_ir_function *body, const bbw_onnx_node *call) {
  bbw_status rv = BBW_OK;
  for (size_t i = 0; rv == BBW_OK && i < body->inputs.count && i < call->input.count; i++) {
    rv = splice_put(s, *BBW_IR_AT(&body->inputs, bbw_str, i), bbw_ir_input(call, i));
  }
  for (size_t i = 0; rv == BBW_OK && i < body->outputs.count && i < call->output.count; i++) {
    rv = splice_put(s, *BBW_IR_AT(&body->outputs, bbw_str, i), bbw_ir_output(call, i));
  }
  return rv;
}

static bbw_status splice_value_infos(splice *s, const bbw_ir_function *body, bbw_ir_function *caller,
                                     bbw_map *declared) {
  for (size_t i = 0; i < body->value_info.count; i++) {
    bbw_onnx_value_info info = *BBW_IR_AT(&body->value_info, bbw_onnx_value_info, i);
    uint64_t seen;
    if (!splice_get(s, info.name, &info.name) || bbw_map_get_bytes(declared, bbw_str_bytes(info.name), &seen)) {
      continue;
    }
    if (!bbw_ir_append(s->ir, &caller->value_info, &info, 1) ||
        !bbw_map_put_bytes(declared, bbw_str_bytes(info.name), 1)) {
      return BBW_E_NOMEM;
    }
  }
  return BBW_OK;
}

static bbw_status splice_call(bbw_ir *ir, const bbw_ir_function *body, const bbw_onnx_node *call, uint64_t k,
                              bbw_ir_function *caller, bbw_ir_list *out, bbw_map *declared) {
  splice s = {.ir = ir, .suffix = bbw_ir_text(ir, BBW_STR("#inl"), bbw_ir_number(ir, k), BBW_STR(""))};
  if (s.suffix.ptr == NULL) { return BBW_E_NOMEM; }
  bbw_map_init(&s.names, 0x1271, ir->mem);
  bbw_ir_list_init(&s.texts, sizeof(bbw_str));
  bbw_status rv = splice_bind(&s, body, call);
  for (size_t i = 0; rv == BBW_OK && i < body->nodes.count; i++) {
    bbw_onnx_node node = *BBW_IR_AT(&body->nodes, bbw_onnx_node, i);
    rv = splice_names(&s, &node.input);
    if (rv == BBW_OK) { rv = splice_names(&s, &node.output); }
    if (rv == BBW_OK && !bbw_ir_append(ir, out, &node, 1)) { rv = BBW_E_NOMEM; }
    if (rv == BBW_OK && out->count > BBW_COMPILE_NODES_MAX) {
      rv = bbw_ir_fail(ir, BBW_E_LIMIT, call, "nodes", bbw_ir_number(ir, out->count));
    }
  }
  if (rv == BBW_OK) { rv = splice_value_infos(&s, body, caller, declared); }
  bbw_map_free(&s.names);
  return rv;
}

static bbw_status index_value_infos(const bbw_ir_function *function, bbw_map *declared) {
  for (size_t i = 0; i < function->value_info.count; i++) {
    if (!bbw_map_put_bytes(declared, bbw_str_bytes(BBW_IR_AT(&function->value_info, bbw_onnx_value_info, i)->name),
                           1)) {
      return BBW_E_NOMEM;
    }
  }
  return BBW_OK;
}

/* Replaces the calls of `body` in one function. */
static bbw_status inline_into(bbw_ir *ir, bbw_ir_function *caller, const bbw_ir_function *body, uint64_t *k) {
  bool has_call = false;
  for (size_t i = 0; !has_call && i < caller->nodes.count; i++) {
    has_call = bbw_ir_is(BBW_IR_AT(&caller->nodes, bbw_onnx_node, i), DOMAIN_MODULE, body->name);
  }
  if (!has_call) { return BBW_OK; }
  bbw_map declared;
  bbw_map_init(&declared, 0xdec1, ir->mem);
  bbw_ir_list out;
  bbw_ir_list_init(&out, sizeof(bbw_onnx_node));
  bbw_status rv = index_value_infos(caller, &declared);
  for (size_t i = 0; rv == BBW_OK && i < caller->nodes.count; i++) {
    const bbw_onnx_node *node = BBW_IR_AT(&caller->nodes, bbw_onnx_node, i);
    if (bbw_ir_is(node, DOMAIN_MODULE, body->name)) {
      rv = splice_call(ir, body, node, (*k)++, caller, &out, &declared);
    } else if (!bbw_ir_append(ir, &out, node, 1)) {
      rv = BBW_E_NOMEM;
    }
  }
  bbw_map_free(&declared);
  if (rv == BBW_OK) { caller->nodes = out; }
  return rv;
}

bbw_status bbw_pass_inline(bbw_ir *ir) {
  size_t count = ir->functions.count;
  size_t *order = bbw_arena_array(ir->arena, count, sizeof(*order));
  if (order == NULL) { return BBW_E_NOMEM; }
  bbw_status rv = order_functions(ir, order);
  uint64_t k = 0;
  bool *is_inlined = bbw_arena_array(ir->arena, count, sizeof(bool));
  if (is_inlined == NULL) { return BBW_E_NOMEM; }
  for (size_t i = 0; rv == BBW_OK && i < count; i++) {
    uint64_t before = k;
    for (size_t c = 0; rv == BBW_OK && c < count; c++) {
      if (c != order[i]) { rv = inline_into(ir, function_at(ir, c), function_at(ir, order[i]), &k); }
    }
    is_inlined[order[i]] = k != before;
  }
  if (rv != BBW_OK) { return rv; }
  /* The root stays, and so does every bootstrap: its author means it to run. */
  bbw_ir_list kept;
  bbw_ir_list_init(&kept, sizeof(bbw_ir_function));
  for (size_t i = 0; i < count; i++) {
    bool is_kept = i == 0 || !is_inlined[i] || is_bootstrap(function_at(ir, i));
    if (is_kept && !bbw_ir_append(ir, &kept, function_at(ir, i), 1)) { return BBW_E_NOMEM; }
  }
  ir->functions = kept;
  return BBW_OK;
}
