#include "onnx/batch.h"

bbw_status bbw_batch_plan(bbw_call *call, const bbw_array *a, const bbw_array *b, bbw_batch *out) {
  uint32_t a_rank = a->rank > 2 ? a->rank - 2 : 0, b_rank = b->rank > 2 ? b->rank - 2 : 0;
  size_t a_step = 1, b_step = 1;
  out->rank = a_rank > b_rank ? a_rank : b_rank;
  for (uint32_t back = 0; back < out->rank; back++) {
    uint32_t d = out->rank - 1 - back;
    size_t x = back < a_rank ? a->dims[a_rank - 1 - back] : 1, y = back < b_rank ? b->dims[b_rank - 1 - back] : 1;
    if (x != y && x != 1 && y != 1) {
      return bbw_call_refuse(call, -1, "the dimensions in front of the matrices do not fit together");
    }
    out->dims[d] = x == 1 ? y : x;
    out->a_steps[d] = x == 1 ? 0 : a_step;
    out->b_steps[d] = y == 1 ? 0 : b_step;
    a_step *= x;
    b_step *= y;
  }
  return BBW_OK;
}

size_t bbw_batch_count(const bbw_batch *batch) { return bbw_dims_product(batch->dims, 0, batch->rank); }

void bbw_batch_next(const bbw_batch *batch, bbw_batch_place *place) {
  for (uint32_t d = batch->rank; d-- > 0;) {
    place->a += batch->a_steps[d];
    place->b += batch->b_steps[d];
    if (++place->index[d] < batch->dims[d]) { return; }
    place->a -= batch->a_steps[d] * batch->dims[d];
    place->b -= batch->b_steps[d] * batch->dims[d];
    place->index[d] = 0;
  }
}
