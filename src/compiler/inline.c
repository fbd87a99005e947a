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

/* Function name -> index; the first of a name counts. */
static bbw_status index_functions(bbw_ir *ir, bbw_map *by_name) {
  for (size_t i = 0; i < ir->functions.count; i++) {
    uint64_t first;
    bbw_bytes name = bbw_str_bytes(function_at(ir, i)->name);
    if (!bbw_map_get_bytes(by_name, name, &first) && !bbw_map_put_bytes(by_name, name, i)) { return BBW_E_NOMEM; }
  }
  return BBW_OK;
}

/* The function that a node calls, or NO_FUNCTION. */
static size_t callee_of(const bbw_map *by_name, const bbw_onnx_node *node) {
  uint64_t found;
  bool is_call = bbw_str_equal(node->domain, DOMAIN_MODULE) &&
                 bbw_map_get_bytes(by_name, bbw_str_bytes(node->op_type), &found);
  return is_call ? (size_t)found : NO_FUNCTION;
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
static bbw_status order_functions(bbw_ir *ir, const bbw_map *by_name, size_t *order) {
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
      size_t callee = callee_of(by_name, node);
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

/* All calls of the model, in order of caller and node. */
typedef struct call_table {
  bbw_map by_name;
  size_t *order;   /* functions, callees before callers */
  size_t *first;   /* per function: number of its first call */
  uint64_t *k;     /* per call: the number in the names of its copies */
  bool *is_called; /* per function */
} call_table;

/*
 * Numbers the calls by callee (in `order`), then caller, then node, as if callees were inlined one after another everywhere.  The copies are made caller by caller all the
 * same, so that each list of nodes is rebuilt once.
 */
static bbw_status number_calls(bbw_ir *ir, call_table *t) {
  size_t count = ir->functions.count;
  uint64_t *next = bbw_arena_array(ir->arena, count + 1, sizeof(*next)); /* per callee: calls, then the next number */
  t->first = bbw_arena_array(ir->arena, count + 1, sizeof(*t->first));
  t->is_called = bbw_arena_array(ir->arena, count + 1, sizeof(bool));
  if (next == NULL || t->first == NULL || t->is_called == NULL) { return BBW_E_NOMEM; }
  size_t calls = 0;
  for (size_t c = 0; c < count; c++) {
    t->first[c] = calls;
    for (size_t i = 0; i < function_at(ir, c)->nodes.count; i++) {
      size_t callee = callee_of(&t->by_name, BBW_IR_AT(&function_at(ir, c)->nodes, bbw_onnx_node, i));
      if (callee == NO_FUNCTION) { continue; }
      next[callee]++;
      t->is_called[callee] = true;
      calls++;
    }
  }
  t->k = bbw_arena_array(ir->arena, calls + 1, sizeof(*t->k));
  if (t->k == NULL) { return BBW_E_NOMEM; }
  uint64_t k = 0;
  for (size_t i = 0; i < count; i++) {
    uint64_t of_callee = next[t->order[i]];
    next[t->order[i]] = k;
    k += of_callee;
  }
  size_t call = 0;
  for (size_t c = 0; c < count; c++) {
    for (size_t i = 0; i < function_at(ir, c)->nodes.count; i++) {
      size_t callee = callee_of(&t->by_name, BBW_IR_AT(&function_at(ir, c)->nodes, bbw_onnx_node, i));
      if (callee != NO_FUNCTION) { t->k[call++] = next[callee]++; }
    }
  }
  return BBW_OK;
}

/* Replaces the calls of one function; what it calls has none any more. */
static bbw_status inline_into(bbw_ir *ir, const call_table *t, size_t c) {
  bbw_ir_function *caller = function_at(ir, c);
  size_t call = t->first[c];
  bbw_map declared;
  bbw_map_init(&declared, 0xdec1, ir->mem);
  bbw_ir_list out;
  bbw_ir_list_init(&out, sizeof(bbw_onnx_node));
  bbw_status rv = bbw_ir_index_value_infos(caller, &declared);
  for (size_t i = 0; rv == BBW_OK && i < caller->nodes.count; i++) {
    const bbw_onnx_node *node = BBW_IR_AT(&caller->nodes, bbw_onnx_node, i);
    size_t callee = callee_of(&t->by_name, node);
    if (callee != NO_FUNCTION) {
      rv = splice_call(ir, function_at(ir, callee), node, t->k[call++], caller, &out, &declared);
    } else if (!bbw_ir_append(ir, &out, node, 1)) {
      rv = BBW_E_NOMEM;
    }
  }
  bbw_map_free(&declared);
  if (rv == BBW_OK && call != t->first[c]) { caller->nodes = out; }
  return rv;
}

static bbw_status inline_all(bbw_ir *ir, call_table *t) {
  size_t count = ir->functions.count;
  t->order = bbw_arena_array(ir->arena, count, sizeof(*t->order));
  if (t->order == NULL) { return BBW_E_NOMEM; }
  bbw_status rv = index_functions(ir, &t->by_name);
  if (rv == BBW_OK) { rv = order_functions(ir, &t->by_name, t->order); }
  if (rv == BBW_OK) { rv = number_calls(ir, t); }
  for (size_t i = 0; rv == BBW_OK && i < count; i++) { rv = inline_into(ir, t, t->order[i]); }
  return rv;
}

bbw_status bbw_pass_inline(bbw_ir *ir) {
  call_table t = {.order = NULL};
  bbw_map_init(&t.by_name, 0xf0c7, ir->mem);
  bbw_status rv = inline_all(ir, &t);
  bbw_map_free(&t.by_name);
  if (rv != BBW_OK) { return rv; }
  /* The root stays, and so does every bootstrap: its author means it to run. */
  bbw_ir_list kept;
  bbw_ir_list_init(&kept, sizeof(bbw_ir_function));
  for (size_t i = 0; i < ir->functions.count; i++) {
    bool is_kept = i == 0 || !t.is_called[i] || is_bootstrap(function_at(ir, i));
    if (is_kept && !bbw_ir_append(ir, &kept, function_at(ir, i), 1)) { return BBW_E_NOMEM; }
  }
  ir->functions = kept;
  return BBW_OK;
}
