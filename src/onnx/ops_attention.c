/*
 * Attention, which the optimizer makes from its parts (fuse.c): softmax(q . k^T * scale + mask) . v for every head of every batch.
 *
 * Batches and heads of the four operands are spread over each other, and one query over the rows of a mask, as MatMul and Add would do it.
 */
#include <string.h>

#include "base/mem.h"
#include "kernels/attention.h"
#include "onnx/ops.h"
#include "onnx/params.h"

/* Floats from one batch, head or row to the next; 0 where there is one for all. */
typedef struct steps {
  size_t batch, head, row;
} steps;

typedef struct plan {
  size_t batch, heads, m, n, d, dv;
  steps q, k, v, mask, out;
  size_t mask_floats; /* of the scratch memory in front: a mask of one number per row, written out */
} plan;

/* [batch, rows, heads, size], or [batch, heads, rows, size] */
static size_t rows_of(const bbw_array *x, bool rows_first) { return x->dims[rows_first ? 1 : 2]; }
static size_t heads_of(const bbw_array *x, bool rows_first) { return x->dims[rows_first ? 2 : 1]; }

static steps steps_of(const bbw_array *x, bool rows_first, const plan *s) {
  size_t size = x->dims[3], rows = rows_of(x, rows_first), heads = heads_of(x, rows_first);
  return (steps){.batch = x->dims[0] == 1 && s->batch != 1 ? 0 : rows * heads * size,
                 .head = heads == 1 && s->heads != 1 ? 0
                         : rows_first                ? size
                                                     : rows * size,
                 .row = rows_first ? heads * size : size};
}

/* *size becomes what it and `other` are when they are spread over each other. */
static bool spread(size_t *size, size_t other) {
  if (*size != other && *size != 1 && other != 1) { return false; }
  *size = *size == 1 ? other : *size;
  return true;
}

static bbw_status plan_sizes(bbw_call *call, plan *s) {
  const bbw_attention_params *p = call->params;
  const bbw_array *q = call->inputs[0], *k = call->inputs[1], *v = call->inputs[2], *mask = bbw_call_input(call, 3);
  *s = (plan){.batch = q->dims[0],
              .heads = heads_of(q, p->rows_first_q),
              .m = rows_of(q, p->rows_first_q),
              .n = rows_of(k, p->rows_first_k),
              .d = q->dims[3],
              .dv = v->dims[3]};
  bool fits = k->dims[3] == s->d && rows_of(v, p->rows_first_v) == s->n && spread(&s->batch, k->dims[0]) &&
              spread(&s->batch, v->dims[0]) && spread(&s->heads, heads_of(k, p->rows_first_k)) &&
              spread(&s->heads, heads_of(v, p->rows_first_v));
  if (mask != NULL) {
    const size_t *dims = mask->dims;
    uint32_t rank = mask->rank;
    size_t columns = rank > 0 ? dims[rank - 1] : 1;
    fits = fits && rank <= 4 && (columns == s->n || columns == 1) && spread(&s->m, rank > 1 ? dims[rank - 2] : 1) &&
           spread(&s->heads, rank > 2 ? dims[rank - 3] : 1) && spread(&s->batch, rank > 3 ? dims[0] : 1);
  }
  return fits ? BBW_OK : bbw_call_refuse(call, -1, "queries, keys, values and mask do not fit together");
}

static void plan_mask(plan *s, const bbw_array *mask) {
  if (mask == NULL) { return; }
  size_t columns = mask->rank > 0 ? mask->dims[mask->rank - 1] : 1,
         rows = mask->rank > 1 ? mask->dims[mask->rank - 2] : 1;
  size_t heads = mask->rank > 2 ? mask->dims[mask->rank - 3] : 1, batch = mask->rank > 3 ? mask->dims[0] : 1;
  if (columns == 1 && s->n != 1) { s->mask_floats = rows * s->n; }
  s->mask = (steps){.batch = batch == 1 ? 0 : heads * rows * columns,
                    .head = heads == 1 ? 0 : rows * columns,
                    .row = rows == 1 ? 0 : columns};
}

bbw_status bbw_attention_infer(bbw_call *call) {
  const bbw_attention_params *p = call->params;
  plan *s = bbw_call_plan(call, sizeof *s);
  if (s == NULL) { return BBW_E_NOMEM; }
  for (uint32_t i = 0; i < call->input_count; i++) {
    if (call->inputs[i]->dtype != BBW_DTYPE_F32) { return bbw_call_refuse_type(call, i); }
    if (i < 3 && call->inputs[i]->rank != 4) { return bbw_call_refuse(call, (int32_t)i, "must have four dimensions"); }
  }
  BBW_TRY(plan_sizes(call, s));
  const size_t dims[] = {s->batch, p->rows_first_out ? s->m : s->heads, p->rows_first_out ? s->heads : s->m, s->dv};
  BBW_TRY(bbw_call_output(call, 0, BBW_DTYPE_F32, 4, dims));
  s->q = steps_of(call->inputs[0], p->rows_first_q, s);
  if (rows_of(call->inputs[0], p->rows_first_q) == 1) { s->q.row = 0; }
  s->k = steps_of(call->inputs[1], p->rows_first_k, s);
  s->v = steps_of(call->inputs[2], p->rows_first_v, s);
  s->out = (steps){.batch = s->heads * s->m * s->dv,
                   .head = p->rows_first_out ? s->dv : s->m * s->dv,
                   .row = p->rows_first_out ? s->heads * s->dv : s->dv};
  plan_mask(s, bbw_call_input(call, 3));
  if (s->n == 0) { return BBW_OK; }
  size_t floats = bbw_attention_f32_scratch(s->m, s->n, s->d, s->dv);
  if (!bbw_size_add(floats, s->mask_floats, &floats) || floats > call->elements_max) {
    call->detail = "the scores are too large";
    return BBW_E_LIMIT;
  }
  call->scratch_bytes = floats * sizeof(float);
  return BBW_OK;
}

/* The mask of one head; where it has one number per row, written out in front of the scratch memory. */
static const float *mask_of(const bbw_call *call, const plan *s, size_t b, size_t h) {
  const bbw_array *mask = bbw_call_input(call, 3);
  if (mask == NULL) { return NULL; }
  const float *from = (const float *)mask->data + b * s->mask.batch + h * s->mask.head;
  float *written = call->scratch;
  for (size_t i = 0; i < s->mask_floats; i++) { written[i] = from[i / s->n]; }
  return s->mask_floats > 0 ? written : from;
}

bbw_status bbw_attention_run(bbw_call *call) {
  const bbw_attention_params *p = call->params;
  const plan *s = call->plan;
  bbw_array *out = call->outputs[0];
  if (out->count == 0) { return BBW_OK; }
  if (s->n == 0) { /* an empty sum */
    memset(out->data, 0, out->count * sizeof(float));
    return BBW_OK;
  }
  const float *data[3];
  for (uint32_t i = 0; i < 3; i++) { data[i] = call->inputs[i]->data; }
  for (size_t b = 0; b < s->batch; b++) {
    for (size_t h = 0; h < s->heads; h++) {
      bbw_attention a = {.m = s->m,
                         .n = s->n,
                         .d = s->d,
                         .dv = s->dv,
                         .scale = p->scale,
                         .ldq = s->q.row,
                         .ldk = s->k.row,
                         .ldv = s->v.row,
                         .ldo = s->out.row,
                         .q = data[0] + b * s->q.batch + h * s->q.head,
                         .k = data[1] + b * s->k.batch + h * s->k.head,
                         .v = data[2] + b * s->v.batch + h * s->v.head,
                         .mask = mask_of(call, s, b, h),
                         .mask_stride = s->mask_floats > 0 ? (s->mask.row == 0 ? 0 : s->n) : s->mask.row,
                         .out = (float *)out->data + b * s->out.batch + h * s->out.head};
      bbw_attention_f32_simd128(&a, (float *)call->scratch + s->mask_floats);
    }
  }
  return BBW_OK;
}
