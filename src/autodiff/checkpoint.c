#include "autodiff/checkpoint.h"

#include <string.h>

#include "base/mem.h"

typedef struct splitter {
  bbw_program *program;
  bbw_body *body;
  bbw_error *err;
  uint32_t forward;     /* nodes up to the loss, that one counted */
  uint32_t value_count; /* before copies were made */
  uint32_t segments;
  uint32_t *ends;  /* of the segments, as nodes */
  uint32_t *last;  /* of each value, the last forward node that reads it; an output of the body: the last of all */
  uint32_t *again; /* of each value, its copy, or BBW_VALUE_NONE */
  bool *is_made;   /* of each segment: its copies stand in the list */
} splitter;

static bbw_status no_memory(const splitter *s) { return bbw_error_set(s->err, BBW_E_NOMEM); }

static uint32_t square_root(uint32_t n) {
  uint32_t root = 0;
  while ((uint64_t)(root + 1) * (root + 1) <= n) { root++; }
  return root;
}

/* Values that are made before node `at` and read from there on, for all places at once. */
static void count_crossings(const splitter *s, uint32_t *crossings) {
  for (uint32_t v = 0; v < s->value_count; v++) {
    uint32_t producer = bbw_body_value_at(s->body, v)->producer;
    if (producer == BBW_VALUE_NONE || producer >= s->forward) { continue; }
    if (s->last[v] == BBW_VALUE_NONE || s->last[v] <= producer) { continue; } /* an output is kept anyway */
    crossings[producer + 1]++;
    crossings[s->last[v] + 1]--;
  }
  for (uint32_t i = 1; i <= s->forward; i++) { crossings[i] += crossings[i - 1]; }
}

/* Near equal shares, each end at the place around it that the fewest values cross. */
static void choose_ends(const splitter *s, const uint32_t *crossings) {
  uint32_t share = s->forward / s->segments, around = (share - 1) / 2; /* two searches never meet */
  for (uint32_t k = 0; k + 1 < s->segments; k++) {
    uint32_t ideal = (uint32_t)((uint64_t)s->forward * (k + 1) / s->segments), best = ideal;
    for (uint32_t d = 1; d <= around; d++) {
      if (crossings[ideal - d] < crossings[best]) { best = ideal - d; }
      if (crossings[ideal + d] < crossings[best]) { best = ideal + d; }
    }
    s->ends[k] = best;
  }
  s->ends[s->segments - 1] = s->forward;
}

static uint32_t segment_of(const splitter *s, uint32_t node) {
  uint32_t k = 0;
  while (s->ends[k] <= node) { k++; }
  return k;
}

/* Inputs of a node that is in no list yet, in an array of its own: those that have a copy in its place. */
static bbw_status read_copies(const splitter *s, bbw_op_node *node) {
  uint32_t *inputs = bbw_arena_array(&s->program->arena, node->input_count, sizeof *inputs);
  if (inputs == NULL) { return no_memory(s); }
  for (uint32_t i = 0; i < node->input_count; i++) {
    uint32_t v = node->inputs[i];
    bool is_copied = v < s->value_count && s->again[v] != BBW_VALUE_NONE && bbw_onnx_op_reads_data(node->op, i);
    inputs[i] = is_copied ? s->again[v] : v;
  }
  node->inputs = inputs;
  return BBW_OK;
}

/* Whether it is dropped with its segment, and so made again for those behind the loss. */
static bool is_dropped(const splitter *s, uint32_t v, uint32_t segment) {
  return s->last[v] != BBW_VALUE_NONE && s->last[v] < s->ends[segment];
}

/* The nodes of a segment once more.  Those that run graphs are not: what they have made is kept. */
static bbw_status copy_segment(const splitter *s, uint32_t segment, bbw_vec *list) {
  s->is_made[segment] = true;
  for (uint32_t n = segment > 0 ? s->ends[segment - 1] : 0; n < s->ends[segment]; n++) {
    bbw_op_node made = *bbw_body_node_at(s->body, n);
    if ((made.op->flags & BBW_OP_RUNS_GRAPHS) != 0) { continue; }
    uint32_t *outputs = bbw_arena_array(&s->program->arena, made.output_count, sizeof *outputs);
    if (outputs == NULL) { return no_memory(s); }
    BBW_TRY(read_copies(s, &made));
    for (uint32_t o = 0; o < made.output_count; o++) {
      uint32_t v = made.outputs[o];
      outputs[o] = BBW_VALUE_NONE;
      if (v == BBW_VALUE_NONE) { continue; }
      bbw_body_value *value = bbw_vec_push(&s->body->values);
      if (value == NULL) { return no_memory(s); }
      *value = (bbw_body_value){.producer = (uint32_t)list->count};
      outputs[o] = (uint32_t)(s->body->values.count - 1);
      if (is_dropped(s, v, segment)) { s->again[v] = outputs[o]; }
    }
    made.outputs = outputs;
    made.borrows_packed = made.packed != NULL;
    for (uint32_t i = 0; i < made.input_count; i++) {
      if (made.inputs[i] != BBW_VALUE_NONE) { bbw_body_retain_value(s->body, made.inputs[i]); }
    }
    if (!bbw_vec_append(list, &made, 1)) { return no_memory(s); }
  }
  return BBW_OK;
}

/* A node behind the loss, with all copies that it reads in front of it. */
static bbw_status add_backward(const splitter *s, const bbw_op_node *node, bbw_vec *list) {
  bbw_op_node made = *node;
  for (uint32_t i = 0; i < node->input_count; i++) {
    uint32_t v = node->inputs[i];
    if (v >= s->value_count || !bbw_onnx_op_reads_data(node->op, i)) { continue; }
    uint32_t producer = bbw_body_value_at(s->body, v)->producer;
    if (producer == BBW_VALUE_NONE || producer >= s->forward) { continue; }
    uint32_t segment = segment_of(s, producer);
    if (segment + 1 == s->segments || s->is_made[segment] || !is_dropped(s, v, segment)) { continue; }
    BBW_TRY(copy_segment(s, segment, list));
  }
  BBW_TRY(read_copies(s, &made));
  for (uint32_t i = 0; i < made.input_count; i++) {
    if (made.inputs[i] == node->inputs[i]) { continue; }
    bbw_body_retain_value(s->body, made.inputs[i]);
    bbw_body_release_value(s->program, s->body, node->inputs[i]);
  }
  return bbw_vec_append(list, &made, 1) ? BBW_OK : no_memory(s);
}

static bbw_status split(splitter *s, bbw_arena *scratch, bbw_vec *list) {
  bbw_body *body = s->body;
  uint32_t *crossings = bbw_arena_array(scratch, s->forward + 2u, sizeof *crossings);
  s->ends = bbw_arena_array(scratch, s->segments, sizeof *s->ends);
  s->is_made = bbw_arena_array(scratch, s->segments, sizeof *s->is_made);
  s->last = bbw_arena_array(scratch, s->value_count, sizeof *s->last);
  s->again = bbw_arena_array(scratch, s->value_count, sizeof *s->again);
  if (crossings == NULL || s->ends == NULL || s->is_made == NULL || s->last == NULL || s->again == NULL) {
    return no_memory(s);
  }
  memset(s->again, 0xff, s->value_count * sizeof *s->again); /* BBW_VALUE_NONE */
  for (uint32_t i = 0; i < body->output_count; i++) { s->last[body->outputs[i].value] = BBW_VALUE_NONE; }
  for (uint32_t n = s->forward; n-- > 0;) {
    const bbw_op_node *node = bbw_body_node_at(body, n);
    for (uint32_t i = 0; i < node->input_count; i++) {
      uint32_t v = node->inputs[i];
      if (v == BBW_VALUE_NONE || !bbw_onnx_op_reads_data(node->op, i)) { continue; }
      bool is_shown = i == 0 && (node->op->flags & BBW_OP_IS_VIEW) != 0 && node->outputs[0] != BBW_VALUE_NONE;
      uint32_t until = is_shown && s->last[node->outputs[0]] > n ? s->last[node->outputs[0]] : n;
      if (s->last[v] < until) { s->last[v] = until; }
    }
  }
  count_crossings(s, crossings);
  choose_ends(s, crossings);
  if (!bbw_vec_append(list, body->nodes.items, s->forward)) { return no_memory(s); }
  for (uint32_t n = s->forward; n < body->nodes.count; n++) {
    BBW_TRY(add_backward(s, bbw_body_node_at(body, n), list));
  }
  return BBW_OK;
}

bbw_status bbw_checkpoint(bbw_program *program, bbw_body *body, uint32_t segments, bbw_error *err) {
  splitter s = {.program = program,
                .body = body,
                .err = err,
                .forward = bbw_body_value_at(body, body->outputs[0].value)->producer + 1,
                .value_count = (uint32_t)body->values.count};
  s.segments = segments == BBW_SEGMENTS_AUTO ? square_root(s.forward) : segments < s.forward ? segments : s.forward;
  if (s.segments < 2) { return BBW_OK; }
  bbw_arena scratch;
  bbw_vec list;
  bbw_arena_init(&scratch, program->mem);
  bbw_vec_init(&list, sizeof(bbw_op_node), program->mem);
  bbw_status rv = split(&s, &scratch, &list);
  bbw_arena_free(&scratch);
  if (rv != BBW_OK) {
    bbw_vec_free(&list);
    return rv;
  }
  bbw_vec_free(&body->nodes);
  body->nodes = list;
  bbw_program_sweep(program, body); /* most copies of the ends of segments are read by nobody */
  return BBW_OK;
}
