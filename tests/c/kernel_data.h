/*
 * kernel_data: numbers for kernel tests, and comparing results bit for bit.
 */
#ifndef BBW_TEST_KERNEL_DATA_H
#define BBW_TEST_KERNEL_DATA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Pseudo-random numbers in [low, high), the same for the same seed everywhere. */
void kernel_fill(float *x, size_t n, uint32_t seed, float low, float high);
/* Mostly such numbers, with zeros of both signs, infinities, NaN, denormals and the largest finite ones in between. */
void kernel_fill_odd(float *x, size_t n, uint32_t seed);
/* Index of the first element whose bits differ, n if none.  Any two NaN are equal: their payload is hardware's choice. */
size_t kernel_first_difference(const float *x, const float *y, size_t n);
/* FNV-1a over the bits, every NaN as one. */
uint64_t kernel_digest(uint64_t hash, const float *x, size_t n);

#endif
