#include "onnx/schedule.h"

#include <string.h>

#include "base/mem.h"

#define ALIGNMENT 64u /* a cache line */

typedef struct builder {
  bbw_schedule *s;
  bbw_program *program;
  const bbw_body *body;
  bbw_error *err;
} builder;

static bbw_status no_memory(const builder *b) {
  return bbw_arena_status(bbw_error_set(b->err, BBW_E_NOMEM), &b->s->arena, b->err);
}

static bool is_known(const bbw_array *array) { return array->data != NULL || array->count == 0; }

/* Arrays of the inputs and outputs of a node, for its call. */
static bbw_status set_call(builder *b, const bbw_op_node *node, bbw_call *call) {
  bbw_schedule *s = b->s;
  const bbw_array **inputs = bbw_arena_array(&s->arena, node->input_count, sizeof *inputs);
  bbw_array **outputs = bbw_arena_array(&s->arena, node->output_count, sizeof *outputs);
  if (inputs == NULL || outputs == NULL) { return no_memory(b); }
  for (uint32_t i = 0; i < node->input_count; i++) {
    if (node->inputs[i] != BBW_VALUE_NONE) { inputs[i] = &s->values[node->inputs[i]].array; }
  }
  for (uint32_t i = 0; i < node->output_count; i++) {
    if (node->outputs[i] != BBW_VALUE_NONE) { outputs[i] = &s->values[node->outputs[i]].array; }
  }
  *call = (bbw_call){.op = node->op,
                     .params = node->params,
                     .inputs = inputs,
                     .input_count = node->input_count,
                     .outputs = outputs,
                     .output_count = node->output_count,
                     .opset = node->opset,
                     .arena = &s->arena,
                     .elements_max = b->program->elements_max,
                     .packed = node->packed,
                     .input = -1};
  return BBW_OK;
}

static bool has_dynamic_input(const builder *b, const bbw_op_node *node) {
  for (uint32_t i = 0; i < node->input_count; i++) {
    if (node->inputs[i] != BBW_VALUE_NONE && b->s->values[node->inputs[i]].place == BBW_PLACE_DYNAMIC) { return true; }
  }
  return false;
}

/* Whether a node's results are known already: from constants, or from nothing but shapes.  Large results are better made when they are needed. */
static bool can_fold(const bbw_op_node *node, const bbw_call *call) {
  size_t bytes = BBW_ONNX_FOLD_BYTES_MAX;
  if (node->op->flags & BBW_OP_NOT_FOLDED) { return false; }
  for (uint32_t i = 0; i < call->input_count && !(node->op->flags & BBW_OP_OF_SHAPES); i++) {
    if (call->inputs[i] == NULL) { continue; }
    if (!is_known(call->inputs[i])) { return false; }
    bytes += bbw_array_bytes(call->inputs[i]);
  }
  for (uint32_t i = 0; i < call->output_count; i++) {
    if (call->outputs[i] != NULL && bbw_array_bytes(call->outputs[i]) > bytes) { return false; }
  }
  return true;
}

static bbw_status fold(builder *b, const bbw_op_node *node, bbw_call *call) {
  for (uint32_t i = 0; i < call->output_count; i++) {
    if (call->outputs[i] == NULL) { continue; }
    if (call->outputs[i]->count > 0) {
      call->outputs[i]->data = bbw_arena_array(&b->s->arena, bbw_array_bytes(call->outputs[i]), 1);
    }
    if (call->outputs[i]->data == NULL) { return no_memory(b); }
    b->s->values[node->outputs[i]].place = BBW_PLACE_CONSTANT;
  }
  if (call->scratch_bytes > 0) {
    call->scratch = bbw_arena_array(&b->s->arena, call->scratch_bytes, 1);
    if (call->scratch == NULL) { return no_memory(b); }
  }
  if (node->op->flags & BBW_OP_IS_VIEW) {
    if (call->outputs[0] != NULL && call->outputs[0]->count > 0) {
      memcpy(call->outputs[0]->data, call->inputs[0]->data, bbw_array_bytes(call->outputs[0]));
    }
    return BBW_OK;
  }
  bbw_status rv = bbw_call_makes_nothing(call) ? BBW_OK : node->op->run(call);
  return rv == BBW_OK ? BBW_OK : bbw_op_node_error(b->err, rv, node, NULL, call->input, call->detail);
}

/* The input whose place the output may take: as large, in the block, and read by nobody after this node. */
static uint32_t replaceable(const builder *b, const bbw_op_node *node, const bbw_call *call, const uint32_t *last) {
  const bbw_schedule *s = b->s;
  if (!(node->op->flags & BBW_OP_IN_PLACE) || call->output_count == 0 || call->outputs[0] == NULL) {
    return BBW_VALUE_NONE;
  }
  for (uint32_t i = 0; i < node->input_count; i++) {
    uint32_t v = node->inputs[i];
    if (v == BBW_VALUE_NONE || s->values[v].place != BBW_PLACE_MEMORY) { continue; }
    uint32_t root = s->values[v].root;
    bool is_twice = false;
    for (uint32_t k = 0; k < node->input_count; k++) {
      is_twice = is_twice || (k != i && node->inputs[k] != BBW_VALUE_NONE && s->values[node->inputs[k]].root == root);
    }
    if (!is_twice && last[root] == (uint32_t)(node - bbw_body_node_at(b->body, 0)) &&
        bbw_array_bytes(&s->values[v].array) == bbw_array_bytes(call->outputs[0]) &&
        s->values[v].array.dtype == call->outputs[0]->dtype) {
      return v;
    }
  }
  return BBW_VALUE_NONE;
}

/*
 * For every value the last node that reads it, or a view of it, or a value that may have been written over it.  Found from the back; a value's readers
 * through views are those of the views, so what a view operator reads is read as late as its result.
 */
static uint32_t *last_readers(builder *b) {
  const bbw_body *body = b->body;
  uint32_t *last = bbw_arena_array(&b->s->arena, body->values.count, sizeof *last);
  if (last == NULL) { return NULL; }
  for (uint32_t i = 0; i < body->output_count; i++) { last[body->outputs[i].value] = BBW_VALUE_NONE; }
  for (uint32_t i = (uint32_t)body->nodes.count; i-- > 0;) {
    const bbw_op_node *node = bbw_body_node_at(body, i);
    for (uint32_t k = 0; k < node->input_count; k++) {
      if (node->inputs[k] == BBW_VALUE_NONE || !bbw_onnx_op_reads_data(node->op, k)) { continue; }
      if (last[node->inputs[k]] < i) { last[node->inputs[k]] = i; }
    }
    if (node->op->flags & BBW_OP_IS_VIEW && node->inputs[0] != BBW_VALUE_NONE && node->output_count > 0 &&
        node->outputs[0] != BBW_VALUE_NONE && last[node->inputs[0]] < last[node->outputs[0]]) {
      last[node->inputs[0]] = last[node->outputs[0]];
    }
  }
  return last;
}

/* Operators may rely on having something to do. */
static bool has_results(const bbw_op_node *node) {
  bool has = false;
  for (uint32_t o = 0; o < node->output_count; o++) { has = has || node->outputs[o] != BBW_VALUE_NONE; }
  return has;
}

static bbw_status plan_node(builder *b, uint32_t index, uint32_t *last) {
  bbw_schedule *s = b->s;
  const bbw_op_node *node = bbw_body_node_at(b->body, index);
  if (!has_results(node)) { return BBW_OK; }
  bbw_schedule_step *step = &s->steps[s->step_count];
  BBW_TRY(set_call(b, node, &step->call));
  bbw_call *call = &step->call;
  bool is_dynamic = (node->op->flags & BBW_OP_RUNS_GRAPHS) != 0 || has_dynamic_input(b, node);
  if (!is_dynamic) {
    bbw_status rv = node->op->infer(call);
    is_dynamic = rv == BBW_LATER;
    if (rv == BBW_E_NOMEM) { return no_memory(b); }
    if (rv != BBW_OK && rv != BBW_LATER) {
      return bbw_op_node_error(b->err, rv, node, NULL, call->input, call->detail);
    }
    for (uint32_t o = 0; rv == BBW_OK && o < call->output_count; o++) {
      if (call->outputs[o] != NULL) { bbw_array_settle(call->outputs[o]); }
    }
  }
  if (!is_dynamic && can_fold(node, call)) { return fold(b, node, call); }
  bool is_view = (node->op->flags & BBW_OP_IS_VIEW) != 0;
  uint32_t over = is_dynamic || is_view ? BBW_VALUE_NONE : replaceable(b, node, call, last);
  for (uint32_t o = 0; o < node->output_count; o++) {
    if (node->outputs[o] == BBW_VALUE_NONE) { continue; }
    bbw_schedule_value *value = &s->values[node->outputs[o]];
    value->place = is_dynamic ? BBW_PLACE_DYNAMIC : BBW_PLACE_MEMORY;
    value->root = node->outputs[o];
    if (is_dynamic) {
      value->array = (bbw_array){0};
    } else if (o == 0 && is_view) {
      const bbw_schedule_value *shown = &s->values[node->inputs[0]];
      value->place = shown->place;
      value->root = shown->root;
      value->array.data = shown->array.data;
    } else if (o == 0 && over != BBW_VALUE_NONE) {
      value->root = s->values[over].root;
      last[value->root] = last[node->outputs[0]];
    }
  }
  if (!is_dynamic && (is_view || bbw_call_makes_nothing(call))) { return BBW_OK; }
  step->node = index;
  step->is_dynamic = is_dynamic;
  s->step_count++;
  return BBW_OK;
}

/* ---- places in the block ---- */

typedef struct gap {
  size_t offset, bytes;
} gap;

static size_t round_up(size_t x) { return (x + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT; }

/* Gaps that are looked at for a place: no model in use has as many, and a hostile one costs no more than this for each of its values. */
enum { GAPS_SEARCHED = 1024 };

/* The first gap at or after that offset. */
static size_t find_gap(const gap *gaps, size_t count, size_t offset) {
  size_t low = 0;
  while (low < count) {
    size_t middle = low + (count - low) / 2;
    if (gaps[middle].offset < offset) {
      low = middle + 1;
    } else {
      count = middle;
    }
  }
  return low;
}

/* Gives a place to every root in MEMORY, in the order of the steps: the smallest gap that is large enough, else the end. */
static bbw_status place_all(builder *b, const uint32_t *last, size_t bytes_max) {
  bbw_schedule *s = b->s;
  uint32_t count = s->value_count;
  /* Roots by the node that is their last reader: lists through `next`, so that a root is given back after that step. */
  uint32_t nodes = (uint32_t)b->body->nodes.count;
  uint32_t *first = bbw_arena_array(&s->arena, nodes + 1u, sizeof *first);
  uint32_t *next = bbw_arena_array(&s->arena, count, sizeof *next);
  gap *gaps = bbw_arena_array(&s->arena, count + 1u, sizeof *gaps);
  if (first == NULL || next == NULL || gaps == NULL) { return no_memory(b); }
  for (uint32_t i = 0; i <= nodes; i++) { first[i] = BBW_VALUE_NONE; }
  size_t gap_count = 0, end = 0, scratch = 0, live = 0;
  for (uint32_t i = 0; i < s->step_count; i++) {
    const bbw_schedule_step *step = &s->steps[i];
    const bbw_op_node *node = bbw_body_node_at(b->body, step->node);
    if (!step->is_dynamic && step->call.scratch_bytes > scratch) { scratch = step->call.scratch_bytes; }
    for (uint32_t o = 0; o < node->output_count && !step->is_dynamic; o++) {
      uint32_t v = node->outputs[o];
      if (v == BBW_VALUE_NONE || s->values[v].place != BBW_PLACE_MEMORY || s->values[v].root != v) { continue; }
      size_t bytes = round_up(bbw_array_bytes(&s->values[v].array));
      live += bytes;
      s->live_bytes = live > s->live_bytes ? live : s->live_bytes;
      size_t best = gap_count;
      for (size_t g = gap_count > GAPS_SEARCHED ? gap_count - GAPS_SEARCHED : 0; g < gap_count; g++) {
        if (gaps[g].bytes >= bytes && (best == gap_count || gaps[g].bytes < gaps[best].bytes)) { best = g; }
      }
      if (best < gap_count) {
        s->values[v].offset = gaps[best].offset;
        gaps[best].offset += bytes;
        gaps[best].bytes -= bytes;
        if (gaps[best].bytes == 0) { memmove(&gaps[best], &gaps[best + 1], (--gap_count - best) * sizeof *gaps); }
      } else if (gap_count > 0 && gaps[gap_count - 1].offset + gaps[gap_count - 1].bytes == end) {
        s->values[v].offset = gaps[--gap_count].offset; /* the gap at the end grows */
        if (!bbw_size_add(s->values[v].offset, bytes, &end)) { end = SIZE_MAX; }
      } else {
        s->values[v].offset = end;
        if (!bbw_size_add(end, bytes, &end)) { end = SIZE_MAX; }
      }
      if (end == SIZE_MAX || end > bytes_max) { /* without a cap bytes_max is SIZE_MAX too */
        bbw_error_set(b->err, BBW_E_LIMIT);
        bbw_error_add_str(b->err, "node", node->name);
        bbw_error_add_u64(b->err, "cap", bytes_max);
        bbw_error_add_u64(b->err, "got", end);
        return BBW_E_LIMIT;
      }
      uint32_t until = last[v];
      s->values[v].last = until;
      if (until != BBW_VALUE_NONE) {
        if (until < step->node) { until = step->node; }
        next[v] = first[until];
        first[until] = v;
      }
    }
    /* Nodes up to the next step have run, views and folded ones among them. */
    uint32_t until = i + 1 < s->step_count ? s->steps[i + 1].node : nodes;
    for (uint32_t n = step->node; n < until; n++) {
      for (uint32_t v = first[n]; v != BBW_VALUE_NONE; v = next[v]) {
        gap freed = {s->values[v].offset, round_up(bbw_array_bytes(&s->values[v].array))};
        if (freed.bytes == 0) { continue; }
        live -= freed.bytes;
        size_t g = find_gap(gaps, gap_count, freed.offset);
        bool joins_left = g > 0 && gaps[g - 1].offset + gaps[g - 1].bytes == freed.offset;
        bool joins_right = g < gap_count && freed.offset + freed.bytes == gaps[g].offset;
        if (joins_left && joins_right) {
          gaps[g - 1].bytes += freed.bytes + gaps[g].bytes;
          memmove(&gaps[g], &gaps[g + 1], (--gap_count - g) * sizeof *gaps);
        } else if (joins_left) {
          gaps[g - 1].bytes += freed.bytes;
        } else if (joins_right) {
          gaps[g].offset = freed.offset;
          gaps[g].bytes += freed.bytes;
        } else {
          memmove(&gaps[g + 1], &gaps[g], (gap_count++ - g) * sizeof *gaps);
          gaps[g] = freed;
        }
      }
    }
  }
  s->scratch_offset = end;
  if (!bbw_size_add(end, round_up(scratch), &s->memory_bytes) || s->memory_bytes > bytes_max) {
    bbw_error_set(b->err, BBW_E_LIMIT);
    bbw_error_add_u64(b->err, "cap", bytes_max);
    bbw_error_add_u64(b->err, "got", s->memory_bytes);
    return BBW_E_LIMIT;
  }
  return BBW_OK;
}

static bbw_status set_input(builder *b, uint32_t value, uint32_t shape) {
  bbw_schedule_value *v = &b->s->values[value];
  v->place = BBW_PLACE_INPUT;
  v->array = b->s->shapes[shape];
  v->array.data = NULL;
  bbw_array_settle(&v->array);
  return BBW_OK;
}

static bbw_status build(builder *b, const bbw_array *shapes, size_t bytes_max) {
  bbw_schedule *s = b->s;
  const bbw_body *body = b->body;
  s->value_count = (uint32_t)body->values.count;
  s->values = bbw_arena_array(&s->arena, s->value_count, sizeof *s->values);
  s->steps = bbw_arena_array(&s->arena, body->nodes.count + 1u, sizeof *s->steps);
  s->shapes = bbw_arena_array(&s->arena, s->shape_count, sizeof *s->shapes);
  s->input_views = bbw_arena_array(&s->arena, s->value_count, sizeof *s->input_views);
  uint32_t *last = last_readers(b);
  if (s->values == NULL || s->steps == NULL || s->shapes == NULL || s->input_views == NULL || last == NULL) {
    return no_memory(b);
  }
  for (uint32_t v = 0; v < s->value_count; v++) {
    const bbw_constant *constant = bbw_body_value_at(body, v)->constant;
    s->values[v].root = v;
    if (constant == NULL) { continue; }
    s->values[v].place = BBW_PLACE_CONSTANT;
    s->values[v].array = constant->array;
  }
  for (uint32_t i = 0; i < s->shape_count; i++) {
    s->shapes[i] = shapes[i];
    s->shapes[i].data = NULL;
  }
  for (uint32_t i = 0; i < body->input_count; i++) { BBW_TRY(set_input(b, body->inputs[i].value, i)); }
  for (uint32_t i = 0; i < body->captures.count; i++) {
    BBW_TRY(set_input(b, BBW_VEC_AT(&body->captures, bbw_capture, i)->value, body->input_count + i));
  }
  for (uint32_t i = 0; i < body->nodes.count; i++) { BBW_TRY(plan_node(b, i, last)); }
  for (uint32_t v = 0; v < s->value_count; v++) {
    if (s->values[v].place == BBW_PLACE_INPUT && s->values[v].root != v) { s->input_views[s->input_view_count++] = v; }
    if (s->values[v].place == BBW_PLACE_DYNAMIC) { s->values[v].last = last[v]; }
  }
  return place_all(b, last, bytes_max);
}

bbw_status bbw_schedule_new(bbw_schedule **out, bbw_program *program, const bbw_body *body, const bbw_array *shapes,
                            uint32_t shape_count, size_t memory_bytes_max, bbw_error *err) {
  bbw_schedule *s = bbw_mem_array(program->mem, 1, sizeof *s);
  if (s == NULL) { return bbw_error_set(err, BBW_E_NOMEM); }
  bbw_arena_init(&s->arena, program->mem);
  s->arena.limit_bytes = memory_bytes_max;
  s->body = body;
  s->shape_count = shape_count;
  builder b = {.s = s, .program = program, .body = body, .err = err};
  bbw_status rv = build(&b, shapes, memory_bytes_max);
  if (rv != BBW_OK) {
    bbw_schedule_del(s, program->mem);
    return rv;
  }
  *out = s;
  return BBW_OK;
}

void bbw_schedule_del(bbw_schedule *schedule, const bbw_mem *mem) {
  if (schedule == NULL) { return; }
  bbw_arena_free(&schedule->arena);
  mem->free(mem->ctx, schedule, sizeof *schedule);
}

void bbw_schedule_bind(bbw_schedule *s, uint8_t *base) {
  if (s->base == base && base != NULL) { return; }
  s->base = base;
  for (uint32_t v = 0; v < s->value_count; v++) {
    bbw_schedule_value *value = &s->values[v];
    if (value->place == BBW_PLACE_MEMORY && value->array.count > 0) {
      value->array.data = base + s->values[value->root].offset;
    }
  }
  for (uint32_t i = 0; i < s->step_count; i++) {
    s->steps[i].call.scratch = base != NULL ? base + s->scratch_offset : NULL;
  }
}
