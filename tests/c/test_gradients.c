/* The gradient of each operator of gradients.def against central differences. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <math.h>

#include "autodiff/gradient.h"
#include "base/bytes.h"
#include "bbw/trainer.h"
#include "grad_case.h"
#include "grad_graphs.h"
#include "onnx_build.h"

#define LINEAR            .is_f32 = true, .tolerance = 1e-4f /* a mean divides, which rounds each result */
#define CHECK(list)       grad_cases_check(list, sizeof(list) / sizeof((list)[0]))
#define CHECK_SIZES(list) grad_cases_check_sizes(list, sizeof(list) / sizeof((list)[0]))

#define UNARY(op, since, x) \
  { #op " of numbers", #op, since, NULL, {x "[3 5]" }, .wanted = "a" }
static const grad_case element_wise[] = {
    UNARY(Abs, 13, "rand"),
    UNARY(Acos, 13, "unit"),
    UNARY(Asin, 13, "unit"),
    UNARY(Asinh, 13, "rand"),
    UNARY(Atan, 13, "rand"),
    UNARY(Atanh, 13, "unit"),
    UNARY(Cos, 13, "rand"),
    UNARY(Cosh, 13, "rand"),
    UNARY(Erf, 13, "rand"),
    UNARY(Exp, 13, "rand"),
    UNARY(HardSwish, 14, "rand"),
    UNARY(Identity, 13, "rand"),
    UNARY(Log, 13, "pos"),
    UNARY(Mish, 18, "rand"),
    UNARY(Neg, 13, "rand"),
    UNARY(Reciprocal, 13, "pos"),
    UNARY(Relu, 13, "rand"),
    UNARY(Sigmoid, 13, "rand"),
    UNARY(Sin, 13, "rand"),
    UNARY(Sinh, 13, "rand"),
    UNARY(Softplus, 13, "rand"),
    UNARY(Softsign, 13, "rand"),
    UNARY(Sqrt, 13, "pos"),
    UNARY(Tan, 13, "unit"),
    UNARY(Tanh, 13, "rand"),
    {"Acosh above its pole", "Acosh", 13, NULL, {"f32[5] 1.5 1.75 2 3 4"}, .wanted = "a"},
    {"HardSwish on all three pieces", "HardSwish", 14, NULL, {"f32[6] -4 -3.5 -1 1 3.5 4"}, .wanted = "a"},
    {"Clip passes what is inside", "Clip", 13, NULL, {"rand[4 5]", "f32[] -0.7", "f32[] 0.9"}, .wanted = "a"},
    {"Clip to a bound that is trained", "Clip", 13, NULL, {"rand[4 5]", "f32[1] -0.7", "f32[1] 0.9"}, .wanted = "abc"},
    {"Clip without bounds", "Clip", 13, NULL, {"rand[3]"}, .wanted = "a"},
};

static const grad_case two_inputs[] = {
    {"Add", "Add", 14, NULL, {"rand[2 3]", "rand[2 3]"}, .wanted = "ab"},
    {"Add of a row", "Add", 14, NULL, {"rand[4 3]", "rand[3]"}, .wanted = "ab"},
    {"Add of a channel", "Add", 14, NULL, {"rand[2 3 4 5]", "rand[3 1 1]"}, .wanted = "ab"},
    {"Add of a column and a row", "Add", 14, NULL, {"rand[4 1]", "rand[1 3]"}, .wanted = "ab"},
    {"Add where the second is larger", "Add", 14, NULL, {"rand[1]", "rand[2 3]"}, .wanted = "ab"},
    {"Add spread over separate axes", "Add", 14, NULL, {"rand[2 1 3 1 2]", "rand[2 4 3 5 2]"}, .wanted = "ab"},
    {"Sub", "Sub", 14, NULL, {"rand[2 3]", "rand[3]"}, .wanted = "ab"},
    {"Mul", "Mul", 14, NULL, {"rand[2 3]", "rand[2 1]"}, .wanted = "ab"},
    {"Div", "Div", 14, NULL, {"rand[2 3]", "pos[2 1]"}, .wanted = "ab"},
    {"Pow of positive numbers", "Pow", 15, NULL, {"pos[2 3]", "rand[3]"}, .wanted = "ab"},
    {"Pow with a whole exponent", "Pow", 15, NULL, {"rand[2 3]", "i64[] 2"}, .wanted = "a"},
    {"PRelu", "PRelu", 16, NULL, {"rand[2 3 4]", "rand[3 1]"}, .wanted = "ab"},
    {"Max of three", "Max", 13, NULL, {"rand[2 3]", "rand[3]", "rand[2 1]"}, .wanted = "abc"},
    {"Min of two", "Min", 13, NULL, {"rand[2 3]", "rand[3]"}, .wanted = "ab"},
    {"Mod of floats", "Mod", 13, "fmod=1", {"rand[2 3]", "pos[3]"}, .wanted = "ab"},
    {"Mean of three", "Mean", 13, NULL, {"rand[2 3]", "rand[3]", "rand[2 1]"}, .wanted = "abc"},
    {"Sum of three", "Sum", 13, NULL, {"rand[2 3]", "rand[3]", "rand[2 1]"}, .wanted = "abc"},
};

static const grad_case products[] = {
    {"MatMul", "MatMul", 13, NULL, {"rand[3 4]", "rand[4 5]"}, .wanted = "ab"},
    {"MatMul of one row of a batch", "MatMul", 13, NULL, {"rand[2 3 4]", "rand[4 5]"}, .wanted = "ab"},
    {"MatMul of batches", "MatMul", 13, NULL, {"rand[2 3 4 5]", "rand[2 3 5 2]"}, .wanted = "ab"},
    {"MatMul where both are repeated", "MatMul", 13, NULL, {"rand[2 1 4 5]", "rand[3 5 2]"}, .wanted = "ab"},
    {"MatMul where the left is one", "MatMul", 13, NULL, {"rand[4 5]", "rand[3 5 2]"}, .wanted = "ab"},
    {"MatMul of a vector and a matrix", "MatMul", 13, NULL, {"rand[4]", "rand[4 5]"}, .wanted = "ab"},
    {"MatMul of a matrix and a vector", "MatMul", 13, NULL, {"rand[3 4]", "rand[4]"}, .wanted = "ab"},
    {"MatMul of two vectors", "MatMul", 13, NULL, {"rand[4]", "rand[4]"}, .wanted = "ab"},
    {"MatMul of a batch and a vector", "MatMul", 13, NULL, {"rand[2 3 4]", "rand[4]"}, .wanted = "ab"},
    {"Gemm", "Gemm", 13, NULL, {"rand[3 4]", "rand[4 5]", "rand[5]"}, .wanted = "abc"},
    {"Gemm with turned b",
     "Gemm",
     13,
     "transB=1 alpha=f:0.5 beta=f:2",
     {"rand[3 4]", "rand[5 4]", "rand[3 1]"},
     .wanted = "abc"},
    {"Gemm with turned a", "Gemm", 13, "transA=1", {"rand[4 3]", "rand[4 5]"}, .wanted = "ab"},
    {"Gemm with both turned",
     "Gemm",
     13,
     "transA=1 transB=1 alpha=f:3",
     {"rand[4 3]", "rand[5 4]", "rand[3 5]"},
     .wanted = "abc"},
};

#define GRID                                                                                                          \
  "f32[2 2 3 2] -0.9 -0.4 0.1 0.3 0.77 -0.7 0.61 0.93 -1.31 0.2 1.23 -1.13 -0.23 0.41 0.57 1.37 2.9 -2.6 0.03 -0.08 " \
  "-0.51 0.71 1.7 0.11"
static const grad_case samples[] = {
    {"RoiAlign of two regions, one of them over the border",
     "RoiAlign",
     16,
     "output_height=2 output_width=3 spatial_scale=f:0.75",
     {"rand[2 2 5 4]", "f32[2 4] 0.3 0.6 3.9 4.1 -2 1.2 6.5 3.3", "i64[2] 1 0"},
     .wanted = "a"},
    {"RoiAlign of old models, with two samples",
     "RoiAlign",
     10,
     "output_height=2 output_width=2 sampling_ratio=2",
     {"rand[1 2 4 4]", "f32[1 4] 0.5 0.5 3 2.5", "i64[1] 0"},
     .wanted = "a"},
    {"GridSample", "GridSample", 16, NULL, {"rand[2 2 4 3]", GRID}, .wanted = "ab"},
    {"GridSample from corner to corner", "GridSample", 16, "align_corners=1", {"rand[2 1 3 4]", GRID}, .wanted = "ab"},
    {"GridSample up to the border", "GridSample", 16, "padding_mode=s:border", {"rand[2 1 4 3]", GRID}, .wanted = "ab"},
    {"GridSample in mirrors", "GridSample", 16, "padding_mode=s:reflection", {"rand[2 1 4 3]", GRID}, .wanted = "ab"},
    {"GridSample in mirrors from corner to corner",
     "GridSample",
     16,
     "padding_mode=s:reflection align_corners=1",
     {"rand[2 1 4 3]", GRID},
     .wanted = "ab"},
    {"GridSample by a cubic", "GridSample", 16, "mode=s:bicubic", {"rand[2 2 5 4]", GRID}, .wanted = "ab"},
    {"GridSample by a cubic in mirrors",
     "GridSample",
     16,
     "mode=s:bicubic padding_mode=s:reflection",
     {"rand[2 1 5 4]", GRID},
     .wanted = "ab"},
    {"GridSample of the nearest", "GridSample", 16, "mode=s:nearest", {"rand[2 2 4 3]", GRID}, .wanted = "ab"},
    {"MaxUnpool",
     "MaxUnpool",
     11,
     "kernel_shape=[2,2] strides=[2,2]",
     {"step[1 1 2 2]", "i64[1 1 2 2] 1 6 8 15"},
     .wanted = "a",
     LINEAR},
    {"MaxUnpool to a larger result",
     "MaxUnpool",
     11,
     "kernel_shape=[2,2] strides=[2,2]",
     {"step[1 1 2 2]", "i64[1 1 2 2] 1 6 8 15", "i64[4] 1 1 5 6"},
     .wanted = "a",
     LINEAR},
};

static const grad_case transforms[] = {
    {"DFT of real numbers", "DFT", 17, NULL, {"rand[2 5 1]"}, .wanted = "a"},
    {"DFT of complex numbers, of an inner axis", "DFT", 17, "axis=1", {"rand[2 4 3 2]"}, .wanted = "a"},
    {"DFT of one side", "DFT", 17, "onesided=1", {"rand[2 6 1]"}, .wanted = "a"},
    {"DFT, inverse", "DFT", 17, "inverse=1", {"rand[1 5 2]"}, .wanted = "a"},
    {"DFT of a part", "DFT", 17, NULL, {"rand[1 5 1]", "i64[] 2"}, .wanted = "a"},
    {"STFT of frames that overlap", "STFT", 17, NULL, {"rand[2 9 1]", "i64[] 2", "rand[4]"}, .wanted = "ac"},
    {"STFT without a window", "STFT", 17, NULL, {"rand[1 7 1]", "i64[] 3", "", "i64[] 3"}, .wanted = "a"},
    {"STFT of complex numbers, both sides",
     "STFT",
     17,
     "onesided=0",
     {"rand[1 8 2]", "i64[] 3", "rand[5]", "i64[] 5"},
     .wanted = "ac"},
    {"STFT of which the window is trained", "STFT", 17, NULL, {"rand[1 8 1]", "i64[] 2", "rand[3]"}, .wanted = "c"},
    {"DFT of more than there is, by axis", "DFT", 20, NULL, {"rand[3 2 2]", "i64[] 8", "i64[] 0"}, .wanted = "a"},
};

static const grad_case algebra[] = {
    {"Det of two matrices", "Det", 11, NULL, {"rand[2 3 3]"}, .wanted = "a"},
    {"Det of a matrix without inverse", "Det", 11, NULL, {"f32[3 3] 1 2 3 2 4 6 1 0 1"}, .wanted = "a"},
    {"Det of one number", "Det", 11, NULL, {"rand[1 1]"}, .wanted = "a"},
    {"Einsum of a product", "Einsum", 12, "equation=s:ij,jk->ik", {"rand[2 3]", "rand[3 4]"}, .wanted = "ab"},
    {"Einsum with batches", "Einsum", 12, "equation=s:bij,bkj->bki", {"rand[2 3 4]", "rand[2 5 4]"}, .wanted = "ab"},
    {"Einsum of three", "Einsum", 12, "equation=s:i,ij,j->", {"rand[2]", "rand[2 3]", "rand[3]"}, .wanted = "abc"},
    {"Einsum that sums axes of one input alone",
     "Einsum",
     12,
     "equation=s:ijk,j->j",
     {"rand[2 3 2]", "rand[3]"},
     .wanted = "ab"},
    {"Einsum that transposes", "Einsum", 12, "equation=s:ij->ji", {"rand[2 3]"}, .wanted = "a"},
    {"Einsum that sums all", "Einsum", 12, "equation=s:ij->", {"rand[2 3]"}, .wanted = "a"},
    {"Einsum with implicit result", "Einsum", 12, "equation=s:ij,jk", {"rand[2 3]", "rand[3 2]"}, .wanted = "ab"},
    {"Einsum with axes that are not named",
     "Einsum",
     12,
     "equation=s:...ij,...jk->...ik",
     {"rand[2 2 3]", "rand[3 2]"},
     .wanted = "ab"},
    {"Einsum with an axis of one that is repeated",
     "Einsum",
     12,
     "equation=s:ij,ij->ij",
     {"rand[2 3]", "rand[2 1]"},
     .wanted = "ab"},
    {"Einsum that sums an axis of which one is repeated",
     "Einsum",
     12,
     "equation=s:ij,ij->i",
     {"rand[2 1]", "rand[2 3]"},
     .wanted = "ab"},
    {"Einsum that sums axes that are not named",
     "Einsum",
     12,
     "equation=s:...i,...i->i",
     {"rand[1 3]", "rand[5 3]"},
     .wanted = "ab"},
    {"Einsum of matrices with one that is repeated",
     "Einsum",
     12,
     "equation=s:bij,bjk->ik",
     {"rand[1 2 3]", "rand[2 3 2]"},
     .wanted = "ab"},
};

static const grad_case refusals[] = {
    {"RoiAlign of the largest",
     "RoiAlign",
     16,
     "mode=s:max",
     {"rand[1 1 4 4]", "f32[1 4] 0.5 0.5 3 2.5", "i64[1] 0"},
     .wanted = "a",
     .refused = "mode avg only"},
    {"Einsum of a diagonal",
     "Einsum",
     12,
     "equation=s:ii->i",
     {"rand[3 3]"},
     .wanted = "a",
     .refused = "a diagonal has no gradient"},
    {"Einsum with an ellipsis behind a letter",
     "Einsum",
     12,
     "equation=s:i...->...i",
     {"rand[3 2]"},
     .wanted = "a",
     .refused = "an ellipsis behind a letter"},
    {"Einsum of four with a sum of its own",
     "Einsum",
     12,
     "equation=s:ij,k,l,m->klm",
     {"rand[2 2]", "rand[2]", "rand[2]", "rand[2]"},
     .wanted = "a",
     .refused = "too many inputs"},
    {"Det of a large matrix", "Det", 11, NULL, {"rand[33 33]"}, .wanted = "a", .refused = "more than 32 rows"},
    {"Pad by attributes", "Pad", 10, "pads=[1,0]", {"rand[3]"}, .wanted = "a", .refused = "from opset 11 on"},
    {"Unique", "Unique", 11, NULL, {"rand[3]"}, .wanted = "a", .refused = "has no gradient for this input"},
};

static const grad_case shapes[] = {
    {"Where", "Where", 16, NULL, {"bool[2 3] 1 0 0 1 1 0", "rand[2 3]", "rand[3]"}, .wanted = "bc"},
    {"Expand", "Expand", 13, NULL, {"rand[3 1]", "i64[3] 2 3 4"}, .wanted = "a"},
    {"Flatten", "Flatten", 13, NULL, {"rand[2 3 4]"}, .wanted = "a"},
    {"Reshape", "Reshape", 14, NULL, {"rand[2 3 4]", "i64[2] 4 -1"}, .wanted = "a"},
    {"Squeeze", "Squeeze", 13, NULL, {"rand[2 1 3]", "i64[1] 1"}, .wanted = "a"},
    {"Unsqueeze", "Unsqueeze", 13, NULL, {"rand[2 3]", "i64[1] 1"}, .wanted = "a"},
};

static const grad_case moves[] = {
    {"Concat", "Concat", 13, "axis=1", {"rand[2 3]", "rand[2 1]", "rand[2 2]"}, .wanted = "abc"},
    {"Concat where only one part is trained", "Concat", 13, "axis=0", {"rand[2 3]", "rand[1 3]"}, .wanted = "b"},
    {"DepthToSpace", "DepthToSpace", 13, "blocksize=2", {"rand[1 8 2 3]"}, .wanted = "a"},
    {"SpaceToDepth", "SpaceToDepth", 13, "blocksize=2", {"rand[1 2 4 6]"}, .wanted = "a"},
    {"Gather of rows, one of them twice", "Gather", 13, NULL, {"rand[5 3]", "i64[2 2] 1 4 1 -1"}, .wanted = "a"},
    {"Gather along the last axis", "Gather", 13, "axis=-1", {"rand[2 5]", "i64[3] 0 4 0"}, .wanted = "a"},
    {"GatherElements", "GatherElements", 13, "axis=1", {"rand[2 3]", "i64[2 2] 0 0 2 1"}, .wanted = "a"},
    {"GatherND", "GatherND", 13, NULL, {"rand[3 4]", "i64[3 2] 0 1 2 3 0 1"}, .wanted = "a"},
    {"OneHot of numbers", "OneHot", 13, NULL, {"i64[2 3] 0 4 1 1 9 -2", "i64[] 5", "rand[2]"}, .wanted = "c"},
    {"OneHot along the first axis", "OneHot", 13, "axis=0", {"i64[3] 2 0 2", "i64[1] 3", "rand[2]"}, .wanted = "c"},
    {"Pad with zeros", "Pad", 13, NULL, {"rand[2 3]", "i64[4] 1 0 0 2"}, .wanted = "a"},
    {"Pad with a number", "Pad", 13, NULL, {"rand[2 3]", "i64[4] 1 0 -1 2", "f32[] 5"}, .wanted = "a"},
    {"Pad by reflection", "Pad", 13, "mode=s:reflect", {"rand[3 4]", "i64[4] 1 2 1 1"}, .wanted = "a"},
    {"Pad by the edge", "Pad", 13, "mode=s:edge", {"rand[3 4]", "i64[4] 1 2 1 1"}, .wanted = "a"},
    {"ReverseSequence", "ReverseSequence", 10, NULL, {"rand[4 2 3]", "i64[2] 2 4"}, .wanted = "a"},
    {"Slice", "Slice", 13, NULL, {"rand[5 4]", "i64[2] 1 0", "i64[2] 4 3"}, .wanted = "a"},
    {"Slice backwards with steps",
     "Slice",
     13,
     NULL,
     {"rand[7 4]", "i64[1] 6", "i64[1] -8", "i64[1] 0", "i64[1] -2"},
     .wanted = "a"},
    {"Split in unequal parts", "Split", 13, "axis=1", {"rand[2 5]", "i64[2] 2 3"}, .wanted = "a", .outputs = 2},
    {"Split of which one part counts", "Split", 13, NULL, {"rand[4 2]", "i64[2] 1 3"}, .wanted = "a", .named = 2},
    {"Tile", "Tile", 13, NULL, {"rand[2 3]", "i64[2] 2 3"}, .wanted = "a"},
    {"Transpose", "Transpose", 13, "perm=[2,0,1]", {"rand[2 3 4]"}, .wanted = "a"},
    {"Transpose in reverse", "Transpose", 13, NULL, {"rand[2 3 4]"}, .wanted = "a"},
    {"CenterCropPad", "CenterCropPad", 18, "axes=[0,1]", {"rand[3 2]", "i64[2] 2 4"}, .wanted = "a"},
    {"Compress", "Compress", 11, "axis=0", {"rand[3 2]", "bool[3] 1 0 1"}, .wanted = "a"},
    {"Compress of all elements", "Compress", 11, NULL, {"rand[3 2]", "bool[6] 1 0 1 0 0 1"}, .wanted = "a"},
    {"Scatter", "Scatter", 9, NULL, {"rand[3 3]", "i64[2 3] 1 0 2 0 2 1", "rand[2 3]"}, .wanted = "ac"},
    {"ScatterElements",
     "ScatterElements",
     13,
     "axis=1",
     {"rand[2 4]", "i64[2 2] 1 3 0 -2", "rand[2 2]"},
     .wanted = "ac"},
    {"ScatterElements that adds, twice to one place",
     "ScatterElements",
     18,
     "axis=1 reduction=s:add",
     {"rand[2 3]", "i64[2 2] 1 1 0 2", "rand[2 2]"},
     .wanted = "ac"},
    {"ScatterElements that multiplies, twice in one place",
     "ScatterElements",
     18,
     "axis=1 reduction=s:mul",
     {"rand[2 3]", "i64[2 2] 1 1 0 2", "rand[2 2]"},
     .wanted = "ac"},
    {"ScatterElements that multiplies by zero",
     "ScatterElements",
     18,
     "axis=1 reduction=s:mul",
     {"rand[2 3]", "i64[2 4] 1 1 0 2 1 1 1 0", "f32[2 4] 0 1 2 0 0 3 0 2"},
     .wanted = "ac"},
    {"ScatterElements with the largest",
     "ScatterElements",
     18,
     "axis=1 reduction=s:max",
     {"rand[2 3]", "i64[2 2] 1 1 0 2", "rand[2 2]"},
     .wanted = "ac"},
    {"ScatterElements with the smallest",
     "ScatterElements",
     18,
     "reduction=s:min",
     {"rand[2 3]", "i64[2 2] 1 1 0 0", "rand[2 2]"},
     .wanted = "ac"},
    {"ScatterND", "ScatterND", 13, NULL, {"rand[4 2]", "i64[2 1] 3 1", "rand[2 2]"}, .wanted = "ac"},
    {"ScatterND that adds",
     "ScatterND",
     18,
     "reduction=s:add",
     {"rand[2 3]", "i64[2 2] 1 1 1 1", "rand[2]"},
     .wanted = "ac"},
    {"ScatterND that multiplies",
     "ScatterND",
     18,
     "reduction=s:mul",
     {"rand[2 3]", "i64[2 2] 1 1 0 2", "rand[2]"},
     .wanted = "ac"},
    {"ScatterND that multiplies by zero",
     "ScatterND",
     18,
     "reduction=s:mul",
     {"rand[2 3]", "i64[2 2] 1 1 0 2", "f32[2] 0 2"},
     .wanted = "ac"},
    {"ScatterND with the largest",
     "ScatterND",
     18,
     "reduction=s:max",
     {"rand[2 3]", "i64[2 2] 1 1 0 2", "rand[2]"},
     .wanted = "ac"},
    {"TopK", "TopK", 11, NULL, {"step[3 5]", "i64[1] 2"}, .wanted = "a", .named = 2},
    {"TopK of the smallest along an outer axis",
     "TopK",
     11,
     "axis=0 largest=0",
     {"step[4 2]", "i64[1] 3"},
     .wanted = "a",
     .named = 2},
    {"TopK with k as an attribute", "TopK", 9, "k=2", {"step[2 4]"}, .wanted = "a", .named = 2},
    {"Trilu", "Trilu", 14, "upper=0", {"rand[3 4]"}, .wanted = "a"},
    {"Dropout with a seed of its own", "Dropout", 13, "seed=3", {"rand[4 5]", "f32[] 0.4", "bool[] 1"}, .wanted = "a"},
    {"Dropout that is off", "Dropout", 13, "seed=1", {"rand[4 5]"}, .wanted = "a"},
    {"Cast to its own type", "Cast", 13, "to=1", {"step[3]"}, .wanted = "a", .is_f32 = true},
    {"CastLike to its own type", "CastLike", 15, NULL, {"step[3]", "f32[1] 0"}, .wanted = "a", .is_f32 = true},
};

#define REDUCE(op, x)                                                                             \
  {#op " of one axis", #op, 18, "keepdims=0", {x "[2 3 4]", "i64[1] 1"}, .wanted = "a"},          \
      {#op " of two axes that stay", #op, 18, NULL, {x "[2 3 4]", "i64[2] 0 -1"}, .wanted = "a"}, \
      {#op " of all axes", #op, 18, "keepdims=0", {x "[2 3]"}, .wanted = "a"}, {                  \
#op " by an attribute", #op, 11, "axes=[0] keepdims=0", {x "[2 3]" }, .wanted = "a"           \
  }
static const grad_case reductions[] = {
    REDUCE(ReduceL1, "rand"),
    REDUCE(ReduceL2, "rand"),
    REDUCE(ReduceLogSum, "pos"),
    REDUCE(ReduceLogSumExp, "rand"),
    REDUCE(ReduceMax, "rand"),
    REDUCE(ReduceMean, "rand"),
    REDUCE(ReduceMin, "rand"),
    REDUCE(ReduceProd, "rand"),
    {"ReduceProd with one zero and with two",
     "ReduceProd",
     13,
     "axes=[1] keepdims=0",
     {"f32[3 3] 2 0 3 0 0 4 1 2 3"},
     .wanted = "a"},
    REDUCE(ReduceSumSquare, "rand"),
    {"LpNormalization", "LpNormalization", 13, NULL, {"rand[3 4]"}, .wanted = "a"},
    {"LpNormalization by the sum along an outer axis",
     "LpNormalization",
     13,
     "axis=0 p=1",
     {"rand[3 4]"},
     .wanted = "a"},
    {"MeanVarianceNormalization", "MeanVarianceNormalization", 13, NULL, {"rand[2 2 2 3]"}, .wanted = "a"},
    {"MeanVarianceNormalization of one axis", "MeanVarianceNormalization", 9, "axes=[1]", {"rand[2 5]"}, .wanted = "a"},
    {"ReduceSum of one axis", "ReduceSum", 13, "keepdims=0", {"rand[2 3 4]", "i64[1] 1"}, .wanted = "a"},
    {"ReduceSum of the outer axes", "ReduceSum", 13, NULL, {"rand[2 3 4]", "i64[2] 0 2"}, .wanted = "a"},
    {"ReduceSum of nothing", "ReduceSum", 13, "noop_with_empty_axes=1", {"rand[2 3]"}, .wanted = "a"},
    {"ReduceSum of all", "ReduceSum", 13, NULL, {"rand[2 3]"}, .wanted = "a"},
    {"CumSum", "CumSum", 14, NULL, {"rand[3 4]", "i64[] 1"}, .wanted = "a"},
    {"CumSum, exclusive and from the end",
     "CumSum",
     14,
     "exclusive=1 reverse=1",
     {"rand[3 4]", "i64[] 0"},
     .wanted = "a"},
    {"Softmax", "Softmax", 13, NULL, {"rand[3 9]"}, .wanted = "a"},
    {"Softmax along an inner axis", "Softmax", 13, "axis=1", {"rand[2 5 3]"}, .wanted = "a"},
    {"Softmax of old models", "Softmax", 11, "axis=1", {"rand[2 5 3]"}, .wanted = "a"},
    {"LogSoftmax", "LogSoftmax", 13, NULL, {"rand[3 9]"}, .wanted = "a"},
    {"LogSoftmax along the first axis", "LogSoftmax", 13, "axis=0", {"rand[4 3]"}, .wanted = "a"},
};

#define LOSS(op)                                                                                                         \
  {#op " as a mean", #op, 13, NULL, {"rand[3 4]", "i64[3] 1 3 0"}, .wanted = "a"},                                       \
      {#op " as a sum with weights and places",       #op,          13, "reduction=s:sum",                               \
       {"rand[2 3 2]", "i64[2 2] 1 2 0 0", "pos[3]"}, .wanted = "a"},                                                    \
      {#op " of each place", #op, 13, "reduction=s:none", {"rand[2 3 2]", "i64[2 2] 1 2 0 0", "pos[3]"}, .wanted = "a"}, \
  {                                                                                                                      \
#op " that ignores a class", #op, 13, "ignore_index=2", {"rand[4 3]", "i64[4] 1 2 0 0", "pos[3]" }, .wanted = "a"    \
  }
static const grad_case model_losses[] = {LOSS(NegativeLogLikelihoodLoss), LOSS(SoftmaxCrossEntropyLoss)};

#define CURVE(op, attributes) \
  { #op, #op, 20, attributes, {"rand[3 7]" }, .wanted = "a" }
static const grad_case curves[] = {
    CURVE(Celu, "alpha=f:0.7"),
    CURVE(Elu, "alpha=f:0.7"),
    CURVE(HardSigmoid, "alpha=f:0.3"),
    CURVE(LeakyRelu, "alpha=f:0.2"),
    CURVE(Selu, NULL),
    CURVE(Shrink, "lambd=f:0.4 bias=f:0.1"),
    CURVE(ThresholdedRelu, NULL),
    {"Gelu", "Gelu", 20, NULL, {"rand[3 7]"}, .wanted = "a"},
    {"Gelu by tanh", "Gelu", 20, "approximate=s:tanh", {"rand[3 7]"}, .wanted = "a"},
};

/* Convolutions and pools compute f32; they are linear in each input, or piecewise so. */
static const grad_case windows[] = {
    {"Conv", "Conv", 13, NULL, {"step[2 3 5 5]", "step[4 3 3 3]", "step[4]"}, .wanted = "abc", LINEAR},
    {"Conv with pads", "Conv", 13, "pads=[1,1,1,1]", {"step[1 2 4 5]", "step[3 2 3 3]"}, .wanted = "ab", LINEAR},
    {"Conv with strides that leave a rest",
     "Conv",
     13,
     "strides=[2,2] pads=[1,0,0,1]",
     {"step[2 2 6 7]", "step[3 2 3 3]", "step[3]"},
     .wanted = "abc",
     LINEAR},
    {"Conv with dilations", "Conv", 13, "dilations=[2,2]", {"step[1 2 7 6]", "step[2 2 3 2]"}, .wanted = "ab", LINEAR},
    {"Conv in groups", "Conv", 13, "group=2", {"step[2 4 4 4]", "step[6 2 2 2]", "step[6]"}, .wanted = "abc", LINEAR},
    {"Conv, depthwise",
     "Conv",
     13,
     "group=3 pads=[1,1,1,1]",
     {"step[2 3 4 4]", "step[3 1 3 3]"},
     .wanted = "ab",
     LINEAR},
    {"Conv, depthwise with a multiplier and strides",
     "Conv",
     13,
     "group=2 strides=[2,2]",
     {"step[1 2 5 5]", "step[4 1 3 3]", "step[4]"},
     .wanted = "abc",
     LINEAR},
    {"Conv, pointwise", "Conv", 13, NULL, {"step[2 3 3 4]", "step[5 3 1 1]", "step[5]"}, .wanted = "abc", LINEAR},
    {"Conv of a series", "Conv", 13, "auto_pad=s:SAME_UPPER", {"step[2 2 9]", "step[3 2 4]"}, .wanted = "ab", LINEAR},
    {"Conv of a volume", "Conv", 13, "strides=[1,2,1]", {"step[1 2 3 4 3]", "step[2 2 2 2 2]"}, .wanted = "ab", LINEAR},
    {"ConvTranspose",
     "ConvTranspose",
     13,
     NULL,
     {"step[2 3 3 4]", "step[3 2 3 3]", "step[2]"},
     .wanted = "abc",
     LINEAR},
    {"ConvTranspose with strides and pads",
     "ConvTranspose",
     13,
     "strides=[2,2] pads=[1,1,0,1]",
     {"step[1 2 3 3]", "step[2 3 3 3]"},
     .wanted = "ab",
     LINEAR},
    {"ConvTranspose with output padding",
     "ConvTranspose",
     13,
     "strides=[2,2] output_padding=[1,1]",
     {"step[1 2 3 2]", "step[2 2 3 3]"},
     .wanted = "ab",
     LINEAR},
    {"ConvTranspose in groups with dilations",
     "ConvTranspose",
     13,
     "group=2 dilations=[2,1]",
     {"step[2 4 3 3]", "step[4 2 2 3]", "step[4]"},
     .wanted = "abc",
     LINEAR},
    {"ConvTranspose to a given shape",
     "ConvTranspose",
     13,
     "strides=[2] output_shape=[7]",
     {"step[1 2 4]", "step[2 2 3]"},
     .wanted = "ab",
     LINEAR},
    {"AveragePool", "AveragePool", 13, "kernel_shape=[2,2] strides=[2,2]", {"step[2 3 4 6]"}, .wanted = "a", LINEAR},
    {"AveragePool with pads that count",
     "AveragePool",
     13,
     "kernel_shape=[3,3] pads=[1,1,1,1] count_include_pad=1",
     {"step[1 2 4 5]"},
     .wanted = "a",
     LINEAR},
    {"AveragePool with pads that do not",
     "AveragePool",
     13,
     "kernel_shape=[3,3] pads=[1,1,1,1] ceil_mode=1 strides=[2,2]",
     {"step[1 2 4 5]"},
     .wanted = "a",
     LINEAR},
    {"GlobalAveragePool", "GlobalAveragePool", 13, NULL, {"step[2 3 4 5]"}, .wanted = "a", LINEAR},
    {"GlobalMaxPool", "GlobalMaxPool", 13, NULL, {"step[2 3 2 5]"}, .wanted = "a", LINEAR},
    {"MaxPool", "MaxPool", 13, "kernel_shape=[2,2] strides=[2,2]", {"step[2 3 4 6]"}, .wanted = "a", LINEAR},
    {"MaxPool of windows that overlap",
     "MaxPool",
     13,
     "kernel_shape=[3,3] pads=[1,1,1,1]",
     {"step[1 2 4 5]"},
     .wanted = "a",
     LINEAR},
    {"MaxPool of a series with dilations",
     "MaxPool",
     13,
     "kernel_shape=[3] dilations=[2] ceil_mode=1 strides=[2]",
     {"step[2 2 9]"},
     .wanted = "a",
     LINEAR},
};

static const grad_case sizes[] = {
    {"Resize to the nearest",
     "Resize",
     13,
     "mode=s:nearest",
     {"step[1 1 2 3]", "", "f32[4] 1 1 2 1.5"},
     .wanted = "a",
     LINEAR},
    {"Resize to the nearest, smaller",
     "Resize",
     13,
     "mode=s:nearest",
     {"step[1 1 4 3]", "", "f32[4] 1 1 0.5 0.7"},
     .wanted = "a",
     LINEAR},
    {"Resize between two",
     "Resize",
     13,
     "mode=s:linear",
     {"step[1 2 2 3]", "", "", "i64[4] 1 2 4 5"},
     .wanted = "a",
     LINEAR},
    {"Resize from corner to corner",
     "Resize",
     13,
     "mode=s:linear coordinate_transformation_mode=s:align_corners",
     {"step[2 3]", "", "f32[2] 2 1.7"},
     .wanted = "a",
     LINEAR},
    {"Resize by a cubic",
     "Resize",
     13,
     "mode=s:cubic",
     {"step[1 1 4 3]", "", "f32[4] 1 1 1.5 2"},
     .wanted = "a",
     LINEAR},
    {"Resize of a region",
     "Resize",
     13,
     "mode=s:linear coordinate_transformation_mode=s:tf_crop_and_resize extrapolation_value=f:7",
     {"step[4 4]", "f32[4] 0.2 0.1 1.3 0.9", "", "i64[2] 3 4"},
     .wanted = "a",
     LINEAR},
    {"Resize of the first kind",
     "Resize",
     10,
     "mode=s:linear",
     {"step[1 1 2 3]", "f32[4] 1 1 2 2"},
     .wanted = "a",
     LINEAR},
    {"Upsample", "Upsample", 9, "mode=s:nearest", {"step[1 1 2 2]", "f32[4] 1 1 2 3"}, .wanted = "a", LINEAR},
};

#define SMOOTH .is_f32 = true, .tolerance = 2e-2f
static const grad_case sequences[] = {
    {"RNN",
     "RNN",
     14,
     "hidden_size=3",
     {"rand[4 2 3]", "unit[1 3 3]", "unit[1 3 3]", "unit[1 6]", "", "unit[1 2 3]"},
     .wanted = "abcdf",
     .outputs = 2,
     SMOOTH},
    {"RNN backwards without bias",
     "RNN",
     14,
     "hidden_size=2 direction=s:reverse",
     {"rand[3 2 2]", "unit[1 2 2]", "unit[1 2 2]"},
     .wanted = "abc",
     SMOOTH},
    {"RNN with batches first, sequences of several lengths, both ways",
     "RNN",
     14,
     "hidden_size=2 direction=s:bidirectional layout=1 activations=[s:Tanh,s:Sigmoid]",
     {"rand[3 4 2]", "unit[2 2 2]", "unit[2 2 2]", "unit[2 4]", "i32[3] 2 4 0", "unit[3 2 2]"},
     .wanted = "abcdf",
     .outputs = 2,
     SMOOTH},
    {"RNN with other functions",
     "RNN",
     14,
     "hidden_size=2 direction=s:bidirectional activations=[s:Softsign,s:ScaledTanh] activation_alpha=[f:0.8] "
     "activation_beta=[f:0.7]",
     {"rand[3 2 2]", "unit[2 2 2]", "unit[2 2 2]"},
     .wanted = "abc",
     SMOOTH},
    {"GRU",
     "GRU",
     14,
     "hidden_size=3",
     {"rand[4 2 2]", "unit[1 9 2]", "unit[1 9 3]", "unit[1 18]", "", "unit[1 2 3]"},
     .wanted = "abcdf",
     .outputs = 2,
     SMOOTH},
    {"GRU that resets behind the product",
     "GRU",
     14,
     "hidden_size=3 linear_before_reset=1",
     {"rand[4 2 2]", "unit[1 9 2]", "unit[1 9 3]", "unit[1 18]", "", "unit[1 2 3]"},
     .wanted = "abcdf",
     .outputs = 2,
     SMOOTH},
    {"GRU both ways, of several lengths",
     "GRU",
     14,
     "hidden_size=2 direction=s:bidirectional",
     {"rand[3 3 2]", "unit[2 6 2]", "unit[2 6 2]", "", "i32[3] 3 1 2"},
     .wanted = "abc",
     .outputs = 2,
     SMOOTH},
    {"GRU that resets behind, both ways, batches first",
     "GRU",
     14,
     "hidden_size=2 direction=s:bidirectional layout=1 linear_before_reset=1",
     {"rand[3 3 2]", "unit[2 6 2]", "unit[2 6 2]", "unit[2 12]", "i32[3] 3 1 2", "unit[3 2 2]"},
     .wanted = "abcdf",
     .outputs = 2,
     SMOOTH},
    {"LSTM",
     "LSTM",
     14,
     "hidden_size=3",
     {"rand[4 2 2]", "unit[1 12 2]", "unit[1 12 3]", "unit[1 24]", "", "unit[1 2 3]", "unit[1 2 3]"},
     .wanted = "abcdfg",
     .outputs = 3,
     SMOOTH},
    {"LSTM with peepholes both ways, of several lengths",
     "LSTM",
     14,
     "hidden_size=2 direction=s:bidirectional",
     {"rand[3 3 2]", "unit[2 8 2]", "unit[2 8 2]", "unit[2 16]", "i32[3] 3 0 2", "unit[2 3 2]", "unit[2 3 2]",
      "unit[2 6]"},
     .wanted = "abcdfgh",
     .outputs = 3,
     SMOOTH},
    {"LSTM with coupled gates, batches first",
     "LSTM",
     14,
     "hidden_size=2 layout=1 input_forget=1",
     {"rand[2 3 2]", "unit[1 8 2]", "unit[1 8 2]", "unit[1 16]", "", "unit[2 1 2]", "unit[2 1 2]", "unit[1 6]"},
     .wanted = "abcdfgh",
     .outputs = 3,
     SMOOTH},
    {"LSTM of which the last state counts",
     "LSTM",
     14,
     "hidden_size=2",
     {"rand[3 2 2]", "unit[1 8 2]", "unit[1 8 2]"},
     .wanted = "abc",
     .outputs = 2,
     SMOOTH},
    {"LSTM with clipped gates",
     "LSTM",
     14,
     "hidden_size=2 clip=f:20",
     {"rand[3 2 2]", "unit[1 8 2]", "unit[1 8 2]"},
     .wanted = "abc",
     .outputs = 1,
     SMOOTH},
};

/* Smooth, in f32: a larger step and a tolerance for what its third derivative and the rounding add. */
static const grad_case norms[] = {
    {"LRN",
     "LRN",
     13,
     "size=3 alpha=f:0.5 beta=f:0.6 bias=f:1.5",
     {"rand[2 5 3]"},
     .wanted = "a",
     .is_f32 = true,
     .tolerance = 1e-2f},
    {"LRN of an even size",
     "LRN",
     13,
     "size=4 alpha=f:0.5",
     {"rand[1 6 2]"},
     .wanted = "a",
     .is_f32 = true,
     .tolerance = 1e-2f},
    {"LayerNormalization",
     "LayerNormalization",
     17,
     NULL,
     {"rand[3 8]", "rand[8]", "rand[8]"},
     .wanted = "abc",
     .is_f32 = true,
     .tolerance = 1e-2f},
    {"LayerNormalization of two axes",
     "LayerNormalization",
     17,
     "axis=1",
     {"rand[2 3 4]", "rand[3 4]"},
     .wanted = "ab",
     .is_f32 = true,
     .tolerance = 1e-2f},
    {"InstanceNormalization",
     "InstanceNormalization",
     13,
     NULL,
     {"rand[2 3 6]", "rand[3]", "rand[3]"},
     .wanted = "abc",
     .is_f32 = true,
     .tolerance = 2e-2f},
    {"GroupNormalization",
     "GroupNormalization",
     21,
     "num_groups=2",
     {"rand[2 4 5]", "rand[4]", "rand[4]"},
     .wanted = "abc",
     .is_f32 = true,
     .tolerance = 2e-2f},
    {"BatchNormalization with fixed statistics",
     "BatchNormalization",
     15,
     NULL,
     {"step[2 3 2 2]", "step[3]", "step[3]", "rand[3]", "pos[3]"},
     .wanted = "abc",
     LINEAR},
};

/* MatMul and Add of a trained vector are one node; its gradients are those of the parts. */
static void test_bias_of_a_product(void **state) {
  (void)state;
  onnx_file file;
  float gradient[3 * 2 + 4 * 3 + 2];
  double loss;
  bbw_trainer *t;
  onnx_file_init(&file);
  onnx_floats(&file, "x", "4 3", (const float[]){1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}, 12);
  onnx_floats(&file, "w", "3 2", (const float[]){1, -1, 2, 0, 0, 3}, 6);
  onnx_floats(&file, "b", "2", (const float[]){0.5f, -0.5f}, 2);
  onnx_node(&file, "MatMul", "product", "x w", "p");
  onnx_node(&file, "Add", "sum", "p b", "y");
  onnx_output(&file, "y");
  bbw_trainer_options options = {.loss = BBW_TRAINER_OUTPUT, .rate = 1.0f};
  assert_int_equal(bbw_trainer_new(&t, onnx_bytes(&file), &options, &bbw_mem_libc, NULL), BBW_OK);
  assert_int_equal(bbw_trainer_stats_of(t).node_count, 5); /* product, loss, three gradients */
  assert_int_equal(bbw_trainer_gradient(t, NULL, 0, NULL, &loss, gradient, NULL), BBW_OK);
  /* The mean of 8 numbers: 1/8 for each. */
  static const float want[] = {0, 2, 3, 0, 2, 3, 0, 2, 3, 0, 2, 3, 22, 22, 26, 26, 30, 30, 4, 4};
  for (size_t i = 0; i < sizeof want / sizeof want[0]; i++) { assert_true(gradient[i] == want[i] / 8.0f); }
  grad_case_cover("MatMul", 2, false);
  grad_case_cover("MatMul", 2, true); /* by hand */
  bbw_trainer_del(t);
  onnx_file_free(&file);
}

/* x * (erf(x / sqrt 2) + 1) * 0.5 becomes one node, whose gradient is compared with the derivative as a formula. */
static void test_gelu_from_its_parts(void **state) {
  (void)state;
  onnx_file file;
  enum { N = 9 };
  float x[N], gradient[N];
  double loss;
  bbw_trainer *t;
  for (int i = 0; i < N; i++) { x[i] = (float)(i - 4) * 0.7f; }
  onnx_file_init(&file);
  onnx_floats(&file, "x", "9", x, N);
  onnx_floats(&file, "root", "", (const float[]){1.41421356f}, 1);
  onnx_floats(&file, "one", "", (const float[]){1.0f}, 1);
  onnx_floats(&file, "half", "", (const float[]){0.5f}, 1);
  onnx_node(&file, "Div", "scale", "x root", "s");
  onnx_node(&file, "Erf", "erf", "s", "e");
  onnx_node(&file, "Add", "plus", "e one", "p");
  onnx_node(&file, "Mul", "product", "x p", "m");
  onnx_node(&file, "Mul", "halved", "m half", "y");
  onnx_output(&file, "y");
  bbw_trainer_options options = {.loss = BBW_TRAINER_OUTPUT, .rate = 1.0f};
  assert_int_equal(bbw_trainer_new(&t, onnx_bytes(&file), &options, &bbw_mem_libc, NULL), BBW_OK);
  assert_int_equal(bbw_trainer_stats_of(t).node_count, 3); /* forward, loss, backward */
  assert_int_equal(bbw_trainer_gradient(t, NULL, 0, NULL, &loss, gradient, NULL), BBW_OK);
  for (int i = 0; i < N; i++) {
    double v = (double)x[i], want = 0.5 * (1.0 + erf(v / sqrt(2.0))) + v * exp(-0.5 * v * v) / sqrt(2.0 * acos(-1.0));
    assert_true(fabs((double)gradient[i] - want / N) < 1e-6);
  }
  grad_case_cover("GeluErf", 0, false);
  grad_case_cover("GeluErf", 0, true);
  bbw_trainer_del(t);
  onnx_file_free(&file);
}

/* In a step: by training mode of ONNX as the forward operator, which has no other statistics than those of the batch. */
static const grad_case training_norms[] = {
    {"BatchNormalization over the batch",
     "BatchNormalization",
     15,
     "training_mode=1",
     {"rand[4 2 3]", "rand[2]", "rand[2]", "rand[2]", "pos[2]"},
     .wanted = "abc",
     .is_f32 = true,
     .tolerance = 1e-2f},
};
static void test_training_norms(void **state) {
  (void)state;
  CHECK(training_norms);
}

/* What stays of x comes back by the gradient, with the same factor; another step draws other elements. */
static void test_dropout_in_a_step(void **state) {
  (void)state;
  onnx_file file;
  enum { N = 200 };
  float x[N], gradients[2][N];
  double loss, losses[2];
  bbw_trainer *t;
  bbw_array out;
  for (int i = 0; i < N; i++) { x[i] = (float)(i + 1); }
  onnx_file_init(&file);
  onnx_floats(&file, "x", "200", x, N);
  onnx_floats(&file, "ratio", "", (const float[]){0.25f}, 1);
  onnx_node(&file, "Dropout", "drop", "x ratio", "y");
  onnx_output(&file, "y");
  bbw_trainer_options options = {.loss = BBW_TRAINER_OUTPUT, .rate = 1e-6f, .seed = 7, .keeps_outputs = true};
  assert_int_equal(bbw_trainer_new(&t, onnx_bytes(&file), &options, &bbw_mem_libc, NULL), BBW_OK);
  for (int round = 0; round < 2; round++) {
    assert_int_equal(bbw_trainer_gradient(t, NULL, 0, NULL, &losses[round], gradients[round], NULL), BBW_OK);
    assert_int_equal(bbw_trainer_step(t, NULL, 0, NULL, &loss, &out, NULL), BBW_OK);
    assert_true(loss == losses[round]);
    int kept = 0;
    for (int i = 0; i < N; i++) {
      float factor = ((const float *)out.data)[i] == 0.0f ? 0.0f : 1.0f / 0.75f;
      assert_true(fabsf(gradients[round][i] - factor / N) < 1e-7f);
      kept += factor != 0.0f;
    }
    assert_in_range(kept, N / 2, N - 20); /* three quarters, give or take */
  }
  assert_memory_not_equal(gradients[0], gradients[1], sizeof gradients[0]);
  assert_int_equal(bbw_trainer_evaluate(t, NULL, 0, NULL, &loss, &out, NULL), BBW_OK);
  for (int i = 0; i < N; i++) { assert_true(((const float *)out.data)[i] > 0.5f); } /* nothing is dropped */
  grad_case_cover("DropoutTrain", 0, false);
  grad_case_cover("DropoutTrain", 0, true); /* what is kept, times its factor */
  bbw_trainer_del(t);
  onnx_file_free(&file);
}

static void test_moves(void **state) {
  (void)state;
  CHECK(moves);
}
static void test_reductions(void **state) {
  (void)state;
  CHECK_SIZES(reductions);
}
static void test_curves(void **state) {
  (void)state;
  CHECK_SIZES(curves);
}
static void test_algebra(void **state) {
  (void)state;
  CHECK_SIZES(algebra);
  CHECK(transforms);
}
static void test_refusals(void **state) {
  (void)state;
  CHECK(refusals);
}
static void test_losses(void **state) {
  (void)state;
  CHECK(model_losses);
}

/* Class weights of a loss that is part of the model: an initializer stays as it is; what is made from something that is trained elsewhere is refused, by the name of the loss. */
static void test_class_weights_are_not_trained(void **state) {
  (void)state;
  for (int is_made = 0; is_made < 2; is_made++) {
    static const int64_t labels[] = {0, 2};
    onnx_file file;
    bbw_trainer *t;
    bbw_error err;
    onnx_file_init(&file);
    onnx_weights(&file, "base", "2 3", 1, 1.0f, true);
    onnx_weights(&file, "weights", "3", 2, 0.5f, true);
    onnx_ints(&file, "labels", labels, 2);
    onnx_node(&file, "Mul", "mix", is_made ? "base weights" : "base base", "scores");
    onnx_node(&file, "Exp", "exp", "weights", "made");
    onnx_node(&file, "SoftmaxCrossEntropyLoss", "cost", is_made ? "scores labels made" : "scores labels weights", "y");
    onnx_output(&file, "y");
    bbw_trainer_options options = {.loss = BBW_TRAINER_OUTPUT, .rate = 0.1f};
    bbw_status rv = bbw_trainer_new(&t, onnx_bytes(&file), &options, &bbw_mem_libc, &err);
    if (is_made) {
      assert_int_equal(rv, BBW_E_ONNX_UNSUPPORTED);
      assert_true(bbw_str_equal(bbw_error_field(&err, "node"), BBW_STR("cost")));
      assert_int_equal(bbw_error_number(&err, "input"), 2);
    } else {
      assert_int_equal(rv, BBW_OK);
      assert_int_equal(bbw_trainer_parameter_count(t), 1);
      bbw_trainer_del(t);
    }
    onnx_file_free(&file);
  }
}

/* A batch whose labels are all ignored has nothing to teach: loss 0, gradient 0. */
static void test_a_batch_that_is_ignored(void **state) {
  (void)state;
  static const char *const losses[] = {"NegativeLogLikelihoodLoss", "SoftmaxCrossEntropyLoss"};
  for (size_t i = 0; i < 2; i++) {
    static const int64_t labels[] = {-100, -100};
    onnx_file file;
    bbw_trainer *t;
    double loss = 1.0;
    size_t count;
    float before[6], gradient[6] = {1.0f};
    onnx_file_init(&file);
    onnx_weights(&file, "scores", "2 3", 1, 1.0f, true);
    onnx_ints(&file, "labels", labels, 2);
    bbw_onnx_node *node = onnx_node(&file, losses[i], "cost", "scores labels", "y");
    onnx_attribute_int(&file, node, "ignore_index", -100);
    onnx_output(&file, "y");
    bbw_trainer_options options = {.loss = BBW_TRAINER_OUTPUT, .rate = 0.1f};
    assert_int_equal(bbw_trainer_new(&t, onnx_bytes(&file), &options, &bbw_mem_libc, NULL), BBW_OK);
    memcpy(before, bbw_trainer_values(t, &count), sizeof before);
    assert_int_equal(bbw_trainer_gradient(t, NULL, 0, NULL, &loss, gradient, NULL), BBW_OK);
    for (size_t k = 0; k < 6; k++) { assert_true(gradient[k] == 0.0f); }
    assert_int_equal(bbw_trainer_step(t, NULL, 0, NULL, &loss, NULL, NULL), BBW_OK);
    assert_true(loss == 0.0);
    assert_memory_equal(before, bbw_trainer_values(t, &count), sizeof before);
    bbw_trainer_del(t);
    onnx_file_free(&file);
  }
}

static void test_sizes(void **state) {
  (void)state;
  CHECK(sizes);
  CHECK(samples);
}
static void test_sequences(void **state) {
  (void)state;
  CHECK(sequences);
}
static void test_windows(void **state) {
  (void)state;
  CHECK(windows);
}
static void test_norms(void **state) {
  (void)state;
  CHECK(norms);
}
static void test_element_wise(void **state) {
  (void)state;
  CHECK_SIZES(element_wise);
}
static void test_two_inputs(void **state) {
  (void)state;
  CHECK_SIZES(two_inputs);
}
static void test_products(void **state) {
  (void)state;
  CHECK_SIZES(products);
}
static void test_shapes(void **state) {
  (void)state;
  CHECK(shapes);
}

/* Sizes in which products take other paths than in the cases; the differences would take too long, the bounds of memory do not. */
static void test_large_sequences(void **state) {
  (void)state;
  static const struct {
    const char *op;
    size_t gates, steps, batch, width, hidden;
    int64_t is_after;
  } rows[] = {{"GRU", 3, 7, 9, 50, 96, 0},   {"GRU", 3, 7, 9, 50, 96, 1},   {"GRU", 3, 40, 1, 3, 130, 0},
              {"GRU", 3, 3, 70, 300, 20, 0}, {"LSTM", 4, 5, 33, 70, 65, 0}, {"LSTM", 4, 300, 1, 9, 33, 0},
              {"RNN", 1, 9, 17, 80, 260, 0}};
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    onnx_file file;
    char x[32], w[32], r[32], b[32];
    double loss[2];
    bbw_trainer *t;
    snprintf(x, sizeof x, "%zu %zu %zu", rows[i].steps, rows[i].batch, rows[i].width);
    snprintf(w, sizeof w, "1 %zu %zu", rows[i].gates * rows[i].hidden, rows[i].width);
    snprintf(r, sizeof r, "1 %zu %zu", rows[i].gates * rows[i].hidden, rows[i].hidden);
    snprintf(b, sizeof b, "1 %zu", 2 * rows[i].gates * rows[i].hidden);
    onnx_file_init(&file);
    onnx_weights(&file, "x", x, 1, 1.0f, true);
    onnx_weights(&file, "w", w, 2, 0.1f, true);
    onnx_weights(&file, "r", r, 3, 0.1f, true);
    onnx_weights(&file, "b", b, 4, 0.1f, true);
    bbw_onnx_node *node = onnx_node(&file, rows[i].op, "node", "x w r b", "y");
    if (rows[i].gates == 3) { onnx_attribute_int(&file, node, "linear_before_reset", rows[i].is_after); }
    onnx_output(&file, "y");
    bbw_trainer_options options = {.loss = BBW_TRAINER_OUTPUT, .rate = 0.1f};
    assert_int_equal(bbw_trainer_new(&t, onnx_bytes(&file), &options, &bbw_mem_libc, NULL), BBW_OK);
    for (int k = 0; k < 2; k++) { assert_int_equal(bbw_trainer_step(t, NULL, 0, NULL, &loss[k], NULL, NULL), BBW_OK); }
    assert_true(loss[1] < loss[0]);
    bbw_trainer_del(t);
    onnx_file_free(&file);
  }
}

static void test_graphs(void **state) {
  (void)state;
  grad_graphs_check();
  grad_graphs_check_refusals();
  grad_graphs_check_frozen();
  grad_graphs_check_memory();
}

/* Each text of gradients.def that makes something has been compared, and each row is one of an operator. */
static void test_every_rule_has_a_case(void **state) {
  (void)state;
  size_t missing = 0;
  const bbw_gradient_row *row;
  for (size_t i = 0; (row = bbw_gradient_row_at(i)) != NULL; i++) {
    bool is_known;
    bbw_onnx_op_find((bbw_str){row->domain, strlen(row->domain)}, (bbw_str){row->name, strlen(row->name)}, 1,
                     &is_known);
    if (!is_known) { print_error("there is no operator %s\n", row->name); }
    assert_true(is_known);
    for (uint32_t k = 0; k < 8 && row->rules[k] != NULL; k++) {
      for (int second = 0; second < 2; second++) {
        if (row->rules[k][0] == '\0' || row->rules[k][0] == '!' || grad_case_has_covered(row->name, k, second != 0)) {
          continue;
        }
        print_error("no case differentiates input %u of %s%s\n", k, row->name, second != 0 ? " in a second way" : "");
        missing++;
      }
    }
  }
  assert_int_equal(missing, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_element_wise),
      cmocka_unit_test(test_two_inputs),
      cmocka_unit_test(test_products),
      cmocka_unit_test(test_shapes),
      cmocka_unit_test(test_bias_of_a_product),
      cmocka_unit_test(test_gelu_from_its_parts),
      cmocka_unit_test(test_training_norms),
      cmocka_unit_test(test_dropout_in_a_step),
      cmocka_unit_test(test_moves),
      cmocka_unit_test(test_reductions),
      cmocka_unit_test(test_curves),
      cmocka_unit_test(test_windows),
      cmocka_unit_test(test_norms),
      cmocka_unit_test(test_algebra),
      cmocka_unit_test(test_losses),
      cmocka_unit_test(test_class_weights_are_not_trained),
      cmocka_unit_test(test_a_batch_that_is_ignored),
      cmocka_unit_test(test_refusals),
      cmocka_unit_test(test_sizes),
      cmocka_unit_test(test_sequences),
      cmocka_unit_test(test_large_sequences),
      cmocka_unit_test(test_graphs),
      cmocka_unit_test(test_every_rule_has_a_case), /* the last one: it asks what the others have done */
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
