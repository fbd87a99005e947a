/* Attention, which the optimizer makes from its parts (fuse.c): softmax(q . k^T * scale + mask) . v for every head of every batch. */
#include <string.h>

#include "kernels/attention.h"
#include "onnx/ops.h"
#include "onnx/params.h"

typedef struct plan {
  size_t batch, heads, m, n, d, dv;
  size_t mask_batch, mask_head, mask_row; /* floats from one to the next; 0 where it is repeated */
} plan;

/* [batch, rows, heads, size] or [batch, heads, rows, size] */
static size_t rows_of(const bbw_array *x, bool rows_first) { return x->dims[rows_first ? 1 : 2]; }
static size_t heads_of(const bbw_array *x, bool rows_first) { return x->dims[rows_first ? 2 : 1]; }

static bbw_status plan_mask(bbw_call *call, plan *s) {
  const bbw_array *mask = bbw_call_input(call, 3);
  if (mask == NULL) { return BBW_OK; }
  const size_t wanted[4] = {s->batch, s->heads, s->m, s->n};
  size_t steps[4] = {0}, step = 1;
  if (mask->dtype != BBW_DTYPE_F32) { return bbw_call_refuse_type(call, 3); }
  if (mask->rank > 4 || mask->rank == 0 || mask->dims[mask->rank - 1] != s->n) {
    return bbw_call_refuse(call, 3, "the mask does not fit the scores");
  }
  for (uint32_t back = 0; back < mask->rank; back++) {
    size_t dim = mask->dims[mask->rank - 1 - back];
    if (dim != 1 && dim != wanted[3 - back]) { return bbw_call_refuse(call, 3, "the mask does not fit the scores"); }
    steps[3 - back] = dim == 1 ? 0 : step;
    step *= dim;
  }
  s->mask_batch = steps[0];
  s->mask_head = steps[1];
  s->mask_row = steps[2];
  return BBW_OK;
}

bbw_status bbw_attention_infer(bbw_call *call) {
  const bbw_attention_params *p = call->params;
  const bbw_array *q = call->inputs[0], *k = call->inputs[1], *v = call->inputs[2];
  plan *s = bbw_call_plan(call, sizeof *s);
  if (s == NULL) { return BBW_E_NOMEM; }
  for (uint32_t i = 0; i < 3; i++) {
    if (call->inputs[i]->dtype != BBW_DTYPE_F32) { return bbw_call_refuse_type(call, i); }
    if (call->inputs[i]->rank != 4) { return bbw_call_refuse(call, (int32_t)i, "must have four dimensions"); }
  }
  *s = (plan){.batch = q->dims[0],
              .heads = heads_of(q, p->rows_first_q),
              .m = rows_of(q, p->rows_first_q),
              .n = rows_of(k, p->rows_first_k),
              .d = q->dims[3],
              .dv = v->dims[3]};
  if (k->dims[0] != s->batch || v->dims[0] != s->batch || heads_of(k, p->rows_first_k) != s->heads ||
      heads_of(v, p->rows_first_v) != s->heads || k->dims[3] != s->d || rows_of(v, p->rows_first_v) != s->n) {
    return bbw_call_refuse(call, -1, "queries, keys and values do not fit together");
  }
  BBW_TRY(plan_mask(call, s));
  const size_t dims[] = {s->batch, p->rows_first_out ? s->m : s->heads, p->rows_first_out ? s->heads : s->m, s->dv};
  BBW_TRY(bbw_call_output(call, 0, BBW_DTYPE_F32, 4, dims));
  if (s->n == 0) { return BBW_OK; }
  size_t floats = bbw_attention_f32_scratch(s->m, s->n, s->d, s->dv);
  if (floats > call->elements_max) {
    call->detail = "the scores are too large";
    return BBW_E_LIMIT;
  }
  call->scratch_bytes = floats * sizeof(float);
  return BBW_OK;
}

/* First element of a head, and the distance of its rows. */
static size_t start_of(bool rows_first, size_t b, size_t h, size_t rows, size_t heads, size_t size) {
  return rows_first ? (b * rows * heads + h) * size : (b * heads + h) * rows * size;
}
static size_t stride_of(bool rows_first, size_t heads, size_t size) { return rows_first ? heads * size : size; }

bbw_status bbw_attention_run(bbw_call *call) {
  const bbw_attention_params *p = call->params;
  const plan *s = call->plan;
  bbw_array *out = call->outputs[0];
  const float *mask = bbw_call_input(call, 3) != NULL ? bbw_call_input(call, 3)->data : NULL;
  if (out->count == 0) { return BBW_OK; }
  if (s->n == 0) { /* an empty sum */
    memset(out->data, 0, out->count * sizeof(float));
    return BBW_OK;
  }
  for (size_t b = 0; b < s->batch; b++) {
    for (size_t h = 0; h < s->heads; h++) {
      bbw_attention a = {.m = s->m,
                         .n = s->n,
                         .d = s->d,
                         .dv = s->dv,
                         .scale = p->scale,
                         .ldq = stride_of(p->rows_first_q, s->heads, s->d),
                         .ldk = stride_of(p->rows_first_k, s->heads, s->d),
                         .ldv = stride_of(p->rows_first_v, s->heads, s->dv),
                         .ldo = stride_of(p->rows_first_out, s->heads, s->dv),
                         .mask = mask != NULL ? mask + b * s->mask_batch + h * s->mask_head : NULL,
                         .mask_stride = s->mask_row};
      if (s->d > 0) {
        a.q = (const float *)call->inputs[0]->data + start_of(p->rows_first_q, b, h, s->m, s->heads, s->d);
        a.k = (const float *)call->inputs[1]->data + start_of(p->rows_first_k, b, h, s->n, s->heads, s->d);
      }
      a.v = (const float *)call->inputs[2]->data + start_of(p->rows_first_v, b, h, s->n, s->heads, s->dv);
      a.out = (float *)out->data + start_of(p->rows_first_out, b, h, s->m, s->heads, s->dv);
      bbw_attention_f32_simd128(&a, call->scratch);
    }
  }
  return BBW_OK;
}
