#include "kernels/broadcast.h"

#include <assert.h>
#include <string.h>

#include "base/mem.h"

/* Pieces in which a repeated number is laid out for the kernel. */
#define PIECE 64u

bool bbw_broadcast_plan(bbw_broadcast *plan, const uint64_t *x_dims, uint32_t x_rank, const uint64_t *y_dims,
                        uint32_t y_rank) {
  assert(x_rank <= BBW_TENSOR_RANK_MAX);
  assert(y_rank <= BBW_TENSOR_RANK_MAX);
  memset(plan, 0, sizeof *plan);
  uint32_t rank = x_rank > y_rank ? x_rank : y_rank;
  plan->rank = rank;
  plan->count = 1;
  size_t x_product = 1, y_product = 1;
  size_t size[BBW_TENSOR_RANK_MAX] = {0}, x_step[BBW_TENSOR_RANK_MAX] = {0}, y_step[BBW_TENSOR_RANK_MAX] = {0};
  for (uint32_t back = 0; back < rank; back++) { /* from the last axis to the first */
    uint64_t x_dim = back < x_rank ? x_dims[x_rank - 1 - back] : 1;
    uint64_t y_dim = back < y_rank ? y_dims[y_rank - 1 - back] : 1;
    if (x_dim != y_dim && x_dim != 1 && y_dim != 1) { return false; }
    uint64_t dim = x_dim == 1 ? y_dim : x_dim;
    if (dim > SIZE_MAX || !bbw_size_mul(plan->count, (size_t)dim, &plan->count)) { return false; }
    uint32_t d = rank - 1 - back;
    plan->dims[d] = dim;
    size[d] = (size_t)dim;
    x_step[d] = x_dim == 1 ? 0 : x_product;
    y_step[d] = y_dim == 1 ? 0 : y_product;
    /* Inputs are no larger than the result, except beside an empty dimension, where no step is ever used. */
    x_product *= (size_t)x_dim;
    y_product *= (size_t)y_dim;
  }
  uint32_t axes = 0;
  for (uint32_t d = 0; d < rank; d++) {
    if (size[d] == 1) { continue; }
    uint32_t last = axes - 1;
    if (axes > 0 && plan->x_step[last] == x_step[d] * size[d] && plan->y_step[last] == y_step[d] * size[d]) {
      plan->size[last] *= size[d];
      plan->x_step[last] = x_step[d];
      plan->y_step[last] = y_step[d];
      continue;
    }
    plan->size[axes] = size[d];
    plan->x_step[axes] = x_step[d];
    plan->y_step[axes] = y_step[d];
    axes++;
  }
  plan->axes = axes;
  return true;
}

/* One run along the innermost axis.  Its steps are 0 or 1: an axis that is not repeated is the dense innermost one of its input. */
static void run_piece(bbw_binary_f32_fn *kernel, const float *x, size_t x_step, const float *y, size_t y_step,
                      float *out, size_t n) {
  if (x_step != 0 && y_step != 0) {
    kernel(x, y, out, n);
    return;
  }
  float x_piece[PIECE], y_piece[PIECE];
  for (size_t i = 0; i < PIECE; i++) {
    x_piece[i] = x[0];
    y_piece[i] = y[0];
  }
  for (size_t at = 0; at < n; at += PIECE) {
    size_t part = n - at < PIECE ? n - at : PIECE;
    kernel(x_step != 0 ? x + at : x_piece, y_step != 0 ? y + at : y_piece, out + at, part);
  }
}

void bbw_broadcast_run(const bbw_broadcast *plan, bbw_binary_f32_fn *kernel, const float *x, const float *y,
                       float *out) {
  if (plan->count == 0) { return; }
  if (plan->axes == 0) {
    kernel(x, y, out, 1);
    return;
  }
  uint32_t inner = plan->axes - 1;
  size_t index[BBW_TENSOR_RANK_MAX] = {0};
  size_t length = plan->size[inner];
  for (size_t done = 0; done < plan->count; done += length) {
    run_piece(kernel, x, plan->x_step[inner], y, plan->y_step[inner], out + done, length);
    for (uint32_t d = inner; d-- > 0;) {
      x += plan->x_step[d];
      y += plan->y_step[d];
      if (++index[d] < plan->size[d]) { break; }
      x -= plan->x_step[d] * plan->size[d];
      y -= plan->y_step[d] * plan->size[d];
      index[d] = 0;
    }
  }
}
