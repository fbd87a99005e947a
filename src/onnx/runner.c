#include "onnx/runner.h"

#include <string.h>

#include "base/mem.h"

/* Memory of a dynamic value; views share it. */
typedef struct storage {
  void *memory;
  size_t bytes;
  uint32_t refs;
} storage;

struct bbw_runner {
  bbw_program *program;
  bbw_body *body;
  bbw_budget *budget;
  bbw_schedule *schedules[BBW_RUNNER_SCHEDULES_MAX];
  uint32_t schedule_count;
  uint64_t clock;
  uint8_t *memory; /* the block */
  size_t memory_bytes;
  bbw_vec storages;      /* storage; of the dynamic values of the last run */
  uint32_t *storage_of;  /* per value: its storage plus one, 0 for none */
  bbw_runner **children; /* two per node, made when first needed */
};

/* What a control-flow operator gets in call->graphs. */
typedef struct call_graphs {
  bbw_runner *runner;
  uint32_t node;
  bbw_error *err;
} call_graphs;

static const bbw_mem *mem_of(const bbw_runner *r) { return r->program->mem; }

static bbw_status take(bbw_budget *budget, size_t bytes, bbw_error *err) {
  size_t sum;
  if (!bbw_size_add(budget->bytes, bytes, &sum) || sum > budget->bytes_max) {
    bbw_error_set(err, BBW_E_LIMIT);
    bbw_error_add_u64(err, "cap", budget->bytes_max);
    bbw_error_add_u64(err, "got", sum);
    return BBW_E_LIMIT;
  }
  budget->bytes = sum;
  if (sum > budget->peak) { budget->peak = sum; }
  return BBW_OK;
}

static bbw_status take_memory(bbw_runner *r, size_t bytes, void **out, bbw_error *err) {
  *out = NULL;
  if (bytes == 0) { return BBW_OK; }
  bbw_status rv = take(r->budget, bytes, err);
  if (rv != BBW_OK) { return rv; }
  *out = mem_of(r)->alloc(mem_of(r)->ctx, bytes);
  if (*out != NULL) { return BBW_OK; }
  r->budget->bytes -= bytes;
  return bbw_error_set(err, BBW_E_NOMEM);
}

static void give_memory(bbw_runner *r, void *memory, size_t bytes) {
  if (memory == NULL) { return; }
  mem_of(r)->free(mem_of(r)->ctx, memory, bytes);
  r->budget->bytes -= bytes;
}

bbw_status bbw_runner_new(bbw_runner **out, bbw_program *program, bbw_body *body, bbw_budget *budget, bbw_error *err) {
  const bbw_mem *mem = program->mem;
  bbw_runner *r = bbw_mem_array(mem, 1, sizeof *r);
  if (r == NULL) { return bbw_error_set(err, BBW_E_NOMEM); }
  r->program = program;
  r->body = body;
  r->budget = budget;
  bbw_vec_init(&r->storages, sizeof(storage), mem);
  bool has_graphs = false;
  for (uint32_t i = 0; i < body->nodes.count; i++) {
    has_graphs = has_graphs || bbw_body_node_at(body, i)->body_count > 0;
  }
  if (body->values.count > 0) { r->storage_of = bbw_mem_array(mem, body->values.count, sizeof *r->storage_of); }
  if (has_graphs) { r->children = bbw_mem_array(mem, body->nodes.count * 2, sizeof *r->children); }
  if ((body->values.count > 0 && r->storage_of == NULL) || (has_graphs && r->children == NULL)) {
    bbw_runner_del(r);
    return bbw_error_set(err, BBW_E_NOMEM);
  }
  *out = r;
  return BBW_OK;
}

static void del_schedule(bbw_runner *r, uint32_t at) {
  r->budget->bytes -= r->schedules[at]->arena.used_bytes;
  bbw_schedule_del(r->schedules[at], mem_of(r));
}

void bbw_runner_del(bbw_runner *r) {
  if (r == NULL) { return; }
  const bbw_mem *mem = mem_of(r);
  bbw_runner_rest(r);
  for (uint32_t i = 0; i < r->schedule_count; i++) { del_schedule(r, i); }
  for (size_t i = 0; r->children != NULL && i < r->body->nodes.count * 2; i++) {
    bbw_runner_del(r->children[i]);
  } /* at most BBW_ONNX_DEPTH_MAX deep */
  give_memory(r, r->memory, r->memory_bytes);
  bbw_vec_free(&r->storages);
  bbw_mem_array_free(mem, r->storage_of, r->body->values.count, sizeof *r->storage_of);
  bbw_mem_array_free(mem, r->children, r->body->nodes.count * 2, sizeof *r->children);
  mem->free(mem->ctx, r, sizeof *r);
}

/* ---- memory of dynamic values ---- */

static void drop_storage(bbw_runner *r, uint32_t value) {
  uint32_t number = r->storage_of[value];
  if (number == 0) { return; }
  r->storage_of[value] = 0;
  storage *s = BBW_VEC_AT(&r->storages, storage, number - 1);
  if (--s->refs > 0) { return; }
  give_memory(r, s->memory, s->bytes);
  s->memory = NULL;
}

void bbw_runner_rest(bbw_runner *r) {
  for (size_t i = 0; i < r->storages.count; i++) {
    storage *s = BBW_VEC_AT(&r->storages, storage, i);
    if (s->refs > 0) { give_memory(r, s->memory, s->bytes); }
  }
  r->storages.count = 0;
  if (r->storage_of != NULL) { memset(r->storage_of, 0, r->body->values.count * sizeof *r->storage_of); }
}

/* Memory for a dynamic value whose type and shape are set. */
static bbw_status make_storage(bbw_runner *r, uint32_t value, bbw_array *array, bbw_error *err) {
  size_t bytes = bbw_array_bytes(array);
  void *memory;
  drop_storage(r, value);
  if (!bbw_vec_reserve(&r->storages, 1)) { return bbw_error_set(err, BBW_E_NOMEM); }
  bbw_status rv = take_memory(r, bytes, &memory, err);
  if (rv != BBW_OK) { return rv; }
  storage *s = bbw_vec_push(&r->storages);
  *s = (storage){memory, bytes, 1};
  r->storage_of[value] = (uint32_t)r->storages.count;
  array->data = memory;
  bbw_array_settle(array);
  return BBW_OK;
}

/* ---- steps ---- */

static bbw_status step_error(const bbw_op_node *node, const bbw_call *call, bbw_status rv, bbw_error *err) {
  return bbw_op_node_error(err, rv, node, NULL, call->input, call->detail);
}

/* Infers and runs a step whose shapes are known only now. */
static bbw_status run_dynamic(bbw_runner *r, bbw_schedule *s, const bbw_schedule_step *step, bbw_error *err) {
  const bbw_op_node *node = bbw_body_node_at(r->body, step->node);
  bbw_call call = step->call;
  bbw_arena arena;
  call_graphs graphs = {r, step->node, err};
  bbw_arena_init(&arena, mem_of(r));
  arena.limit_bytes = r->budget->bytes_max - r->budget->bytes;
  call.arena = &arena;
  call.input = -1;
  call.graphs = &graphs;
  bool runs_graphs = (node->op->flags & BBW_OP_RUNS_GRAPHS) != 0;
  if (err != NULL) { err->status = BBW_OK; } /* a body that fails leaves its own error here */
  bbw_status rv = runs_graphs ? BBW_OK : node->op->infer(&call);
  if (rv == BBW_LATER) { rv = bbw_call_refuse(&call, -1, "a value that the shape depends on is missing"); }
  bool is_view = (node->op->flags & BBW_OP_IS_VIEW) != 0;
  for (uint32_t o = 0; o < node->output_count && rv == BBW_OK && !runs_graphs; o++) {
    if (call.outputs[o] == NULL) { continue; }
    if (is_view && o == 0) {
      uint32_t shown = r->storage_of[node->inputs[0]];
      drop_storage(r, node->outputs[0]);
      call.outputs[0]->data = call.inputs[0]->data;
      r->storage_of[node->outputs[0]] = shown;
      if (shown != 0) { BBW_VEC_AT(&r->storages, storage, shown - 1)->refs++; }
    } else {
      rv = make_storage(r, node->outputs[o], call.outputs[o], err);
      if (rv != BBW_OK) {
        bbw_arena_free(&arena);
        return rv;
      }
    }
  }
  void *scratch = NULL;
  if (rv == BBW_OK && call.scratch_bytes > 0 && !runs_graphs) {
    bbw_status taken = take_memory(r, call.scratch_bytes, &scratch, err);
    if (taken != BBW_OK) {
      bbw_arena_free(&arena);
      return taken;
    }
  }
  call.scratch = scratch;
  bool has_work = runs_graphs || (!is_view && !bbw_call_makes_nothing(&call));
  if (rv == BBW_OK && has_work) { rv = node->op->run(&call); }
  give_memory(r, scratch, call.scratch_bytes);
  bbw_status limited = bbw_arena_status(rv, &arena, err);
  bbw_arena_free(&arena);
  if (limited != rv) { return limited; }
  if (rv != BBW_OK && (!runs_graphs || err == NULL || err->status == BBW_OK)) {
    return step_error(node, &call, rv, err);
  }
  if (rv != BBW_OK) { return (bbw_status)err->status; } /* what a body or an allocation has said */
  for (uint32_t i = 0; i < node->input_count; i++) {
    uint32_t v = node->inputs[i];
    if (v != BBW_VALUE_NONE && s->values[v].place == BBW_PLACE_DYNAMIC && s->values[v].last == step->node) {
      drop_storage(r, v);
    }
  }
  return BBW_OK;
}

static bbw_status count_steps(bbw_budget *budget, uint64_t steps, bbw_error *err) {
  budget->steps += steps;
  if (budget->steps <= budget->steps_max) { return BBW_OK; }
  bbw_error_set(err, BBW_E_LIMIT);
  bbw_error_add_str(err, "detail", BBW_STR("the loops of the model take too many steps"));
  bbw_error_add_u64(err, "cap", budget->steps_max);
  return BBW_E_LIMIT;
}

static bbw_status run_steps(bbw_runner *r, bbw_schedule *s, bbw_error *err) {
  BBW_TRY(count_steps(r->budget, s->step_count, err));
  for (uint32_t i = 0; i < s->step_count; i++) {
    bbw_schedule_step *step = &s->steps[i];
    if (step->is_dynamic) {
      BBW_TRY(run_dynamic(r, s, step, err));
      continue;
    }
    bbw_status rv = step->call.op->run(&step->call);
    if (rv != BBW_OK) { return step_error(bbw_body_node_at(r->body, step->node), &step->call, rv, err); }
  }
  return BBW_OK;
}

static bool has_shapes(const bbw_schedule *s, const bbw_array *shapes, uint32_t count) {
  if (s->shape_count != count) { return false; }
  for (uint32_t i = 0; i < count; i++) {
    if (s->shapes[i].dtype != shapes[i].dtype || !bbw_array_same_shape(&s->shapes[i], &shapes[i])) { return false; }
  }
  return true;
}

static bbw_status find_schedule(bbw_runner *r, const bbw_array *shapes, uint32_t count, bbw_schedule **out,
                                bbw_error *err) {
  for (uint32_t i = 0; i < r->schedule_count; i++) {
    if (has_shapes(r->schedules[i], shapes, count)) {
      *out = r->schedules[i];
      (*out)->used_at = ++r->clock;
      return BBW_OK;
    }
  }
  /* What the block takes now is given back before a larger one is made. */
  size_t bytes_max = r->budget->bytes_max - (r->budget->bytes - r->memory_bytes);
  bbw_schedule *made;
  BBW_TRY(bbw_schedule_new(&made, r->program, r->body, shapes, count, bytes_max, err));
  bbw_status rv = take(r->budget, made->arena.used_bytes, err);
  if (rv != BBW_OK) {
    bbw_schedule_del(made, mem_of(r));
    return rv;
  }
  uint32_t at = r->schedule_count;
  if (at == BBW_RUNNER_SCHEDULES_MAX) {
    at = 0;
    for (uint32_t i = 1; i < r->schedule_count; i++) {
      at = r->schedules[i]->used_at < r->schedules[at]->used_at ? i : at;
    }
    del_schedule(r, at);
  } else {
    r->schedule_count++;
  }
  r->schedules[at] = made;
  made->used_at = ++r->clock;
  *out = made;
  return BBW_OK;
}

/* A block that is large enough for the schedule. */
static bbw_status make_block(bbw_runner *r, const bbw_schedule *s, bbw_error *err) {
  if (r->memory != NULL && s->memory_bytes <= r->memory_bytes) { return BBW_OK; }
  give_memory(r, r->memory, r->memory_bytes);
  r->memory = NULL;
  r->memory_bytes = 0;
  for (uint32_t i = 0; i < r->schedule_count; i++) { r->schedules[i]->base = NULL; }
  void *memory;
  BBW_TRY(take_memory(r, s->memory_bytes, &memory, err));
  r->memory = memory;
  r->memory_bytes = s->memory_bytes;
  return BBW_OK;
}

bbw_status bbw_runner_plan(bbw_runner *r, const bbw_array *shapes, uint32_t count, bbw_array *outputs, bbw_error *err) {
  bbw_schedule *s;
  BBW_TRY(find_schedule(r, shapes, count, &s, err));
  for (uint32_t i = 0; outputs != NULL && i < r->body->output_count; i++) {
    const bbw_schedule_value *value = &s->values[r->body->outputs[i].value];
    outputs[i] = value->place == BBW_PLACE_DYNAMIC ? (bbw_array){0} : value->array;
    outputs[i].data = NULL;
  }
  return BBW_OK;
}

bbw_status bbw_runner_run(bbw_runner *r, const bbw_array *inputs, uint32_t input_count, bbw_array *outputs,
                          bbw_error *err) {
  bbw_schedule *s;
  bbw_runner_rest(r);
  BBW_TRY(find_schedule(r, inputs, input_count, &s, err));
  BBW_TRY(make_block(r, s, err));
  bbw_schedule_bind(s, r->memory);
  for (uint32_t i = 0; i < r->body->input_count; i++) {
    bbw_array *array = &s->values[r->body->inputs[i].value].array;
    array->data = inputs[i].data;
    bbw_array_settle(array);
  }
  for (uint32_t i = 0; i < r->body->captures.count; i++) {
    bbw_array *array = &s->values[BBW_VEC_AT(&r->body->captures, bbw_capture, i)->value].array;
    array->data = inputs[r->body->input_count + i].data;
    bbw_array_settle(array);
  }
  for (uint32_t i = 0; i < s->input_view_count; i++) {
    bbw_schedule_value *view = &s->values[s->input_views[i]];
    view->array.data = s->values[view->root].array.data;
  }
  bbw_status rv = run_steps(r, s, err);
  if (rv != BBW_OK) {
    bbw_runner_rest(r);
    return rv;
  }
  for (uint32_t i = 0; i < r->body->output_count; i++) { outputs[i] = s->values[r->body->outputs[i].value].array; }
  return BBW_OK;
}

const bbw_schedule *bbw_runner_schedule(const bbw_runner *r) {
  const bbw_schedule *last = NULL;
  for (uint32_t i = 0; i < r->schedule_count; i++) {
    if (last == NULL || r->schedules[i]->used_at > last->used_at) { last = r->schedules[i]; }
  }
  return last;
}

/* ---- operators that run graphs ---- */

static const bbw_op_node *node_of(const call_graphs *g) { return bbw_body_node_at(g->runner->body, g->node); }

uint32_t bbw_graphs_count_of(const bbw_call *call) { return node_of(call->graphs)->body_count; }
const bbw_body *bbw_graphs_body(const bbw_call *call, uint32_t which) { return node_of(call->graphs)->bodies[which]; }

bbw_status bbw_graphs_run(bbw_call *call, uint32_t which, const bbw_array *inputs, uint32_t input_count,
                          bbw_array *outputs, uint32_t output_count) {
  call_graphs *g = call->graphs;
  const bbw_op_node *node = node_of(g);
  if (which >= node->body_count) { return bbw_call_refuse(call, -1, "operator has no such graph"); }
  bbw_body *body = node->bodies[which];
  if (input_count != body->input_count || output_count != body->output_count) {
    return bbw_call_refuse(call, -1, "the graph of the operator has another number of inputs or outputs");
  }
  bbw_runner **child = &g->runner->children[2 * (size_t)g->node + which];
  if (*child == NULL) { BBW_TRY(bbw_runner_new(child, g->runner->program, body, g->runner->budget, g->err)); }
  uint32_t captures = (uint32_t)body->captures.count;
  size_t bytes = (input_count + captures) * sizeof(bbw_array);
  void *memory;
  BBW_TRY(take_memory(g->runner, bytes, &memory, g->err));
  bbw_array *all = memory;
  if (input_count > 0) { memcpy(all, inputs, input_count * sizeof *all); }
  for (uint32_t i = 0; i < captures; i++) {
    const bbw_array *captured = call->inputs[BBW_VEC_AT(&body->captures, bbw_capture, i)->position];
    all[input_count + i] = *captured;
  }
  bbw_status rv = bbw_runner_run(*child, all, input_count + captures, outputs, g->err);
  give_memory(g->runner, memory, bytes);
  return rv;
}

bbw_status bbw_graphs_output(bbw_call *call, uint32_t i, const bbw_array *shape) {
  call_graphs *g = call->graphs;
  bbw_array *out = bbw_call_result(call, i);
  if (out == NULL) { return BBW_OK; }
  *out = *shape;
  out->data = NULL;
  return make_storage(g->runner, node_of(g)->outputs[i], out, g->err);
}

void *bbw_graphs_alloc(bbw_call *call, size_t bytes) {
  call_graphs *g = call->graphs;
  void *memory;
  return take_memory(g->runner, bytes, &memory, g->err) == BBW_OK ? memory : NULL;
}

void bbw_graphs_free(bbw_call *call, void *memory, size_t bytes) {
  call_graphs *g = call->graphs;
  give_memory(g->runner, memory, bytes);
}

bbw_status bbw_graphs_count(bbw_call *call) {
  call_graphs *g = call->graphs;
  return count_steps(g->runner->budget, 1, g->err);
}
