#include "kernels/transpose.h"

#include <assert.h>
#include <string.h>

#include "kernels/f32x4.h"

/* out[columns, rows] from x[rows, columns]. */
static void transpose_matrix(const float *x, size_t rows, size_t columns, float *out) {
  size_t i = 0;
  for (; i + 4 <= rows; i += 4) {
    size_t j = 0;
    for (; j + 4 <= columns; j += 4) {
      const float *at = x + i * columns + j;
      bbw_f32x4 r0 = bbw_f32x4_load(at);
      bbw_f32x4 r1 = bbw_f32x4_load(at + columns);
      bbw_f32x4 r2 = bbw_f32x4_load(at + 2 * columns);
      bbw_f32x4 r3 = bbw_f32x4_load(at + 3 * columns);
      bbw_f32x4_transpose(&r0, &r1, &r2, &r3);
      float *to = out + j * rows + i;
      bbw_f32x4_store(to, r0);
      bbw_f32x4_store(to + rows, r1);
      bbw_f32x4_store(to + 2 * rows, r2);
      bbw_f32x4_store(to + 3 * rows, r3);
    }
    for (; j < columns; j++) {
      for (size_t h = i; h < i + 4; h++) { out[j * rows + h] = x[h * columns + j]; }
    }
  }
  for (; i < rows; i++) {
    for (size_t j = 0; j < columns; j++) { out[j * rows + i] = x[i * columns + j]; }
  }
}

void bbw_transpose_f32(const float *x, const uint64_t *dims, const uint32_t *perm, uint32_t rank, float *out) {
  assert(rank <= BBW_TENSOR_RANK_MAX);
  size_t count = 1;
  for (uint32_t d = 0; d < rank; d++) { count *= (size_t)dims[d]; }
  if (count == 0) { return; }
  if (rank == 2 && perm[0] == 1) {
    transpose_matrix(x, (size_t)dims[0], (size_t)dims[1], out);
    return;
  }
  /* Steps of each axis of out inside x, then an odometer over out. */
  size_t step_of_axis[BBW_TENSOR_RANK_MAX];
  size_t step[BBW_TENSOR_RANK_MAX], size[BBW_TENSOR_RANK_MAX], index[BBW_TENSOR_RANK_MAX];
  size_t product = 1;
  for (uint32_t d = rank; d-- > 0;) {
    step_of_axis[d] = product;
    product *= (size_t)dims[d];
  }
  for (uint32_t d = 0; d < rank; d++) {
    step[d] = step_of_axis[perm[d]];
    size[d] = (size_t)dims[perm[d]];
    index[d] = 0;
  }
  size_t at = 0;
  for (size_t i = 0; i < count; i++) {
    out[i] = x[at];
    for (uint32_t d = rank; d-- > 0;) {
      at += step[d];
      if (++index[d] < size[d]) { break; }
      at -= step[d] * size[d];
      index[d] = 0;
    }
  }
}
