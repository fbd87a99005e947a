/* The gradient of each operator of gradients.def against central differences. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "autodiff/gradient.h"
#include "grad_case.h"

#define CHECK(list) grad_cases_check(list, sizeof(list) / sizeof((list)[0]))

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
    {"Mean of three", "Mean", 13, NULL, {"rand[2 3]", "rand[3]", "rand[2 1]"}, .wanted = "abc"},
    {"Sum of three", "Sum", 13, NULL, {"rand[2 3]", "rand[3]", "rand[2 1]"}, .wanted = "abc"},
    {"Where", "Where", 16, NULL, {"bool[2 3] 1 0 0 1 1 0", "rand[2 3]", "rand[3]"}, .wanted = "bc"},
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

static const grad_case shapes[] = {
    {"Expand", "Expand", 13, NULL, {"rand[3 1]", "i64[3] 2 3 4"}, .wanted = "a"},
    {"Flatten", "Flatten", 13, NULL, {"rand[2 3 4]"}, .wanted = "a"},
    {"Reshape", "Reshape", 14, NULL, {"rand[2 3 4]", "i64[2] 4 -1"}, .wanted = "a"},
    {"Squeeze", "Squeeze", 13, NULL, {"rand[2 1 3]", "i64[1] 1"}, .wanted = "a"},
    {"Unsqueeze", "Unsqueeze", 13, NULL, {"rand[2 3]", "i64[1] 1"}, .wanted = "a"},
};

static void test_element_wise(void **state) {
  (void)state;
  CHECK(element_wise);
}
static void test_two_inputs(void **state) {
  (void)state;
  CHECK(two_inputs);
}
static void test_products(void **state) {
  (void)state;
  CHECK(products);
}
static void test_shapes(void **state) {
  (void)state;
  CHECK(shapes);
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
    for (uint32_t k = 0; k < 6 && row->rules[k] != NULL; k++) {
      if (row->rules[k][0] == '\0' || grad_case_has_covered(row->name, k)) { continue; }
      print_error("no case differentiates input %u of %s\n", k, row->name);
      missing++;
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
      cmocka_unit_test(test_every_rule_has_a_case), /* the last one: it asks what the others have done */
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
