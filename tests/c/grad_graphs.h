/*
 * grad_graphs: gradients of If, Loop and Scan.
 *
 * Each model is written twice: as an ONNX file, and in C over dual numbers (grad_forward.h), in f64.  The gradient of the trainer is compared with central differences of its own loss, and with the
 * derivative of the second form in a direction.  For use inside of a cmocka test.
 */
#ifndef BBW_TEST_GRAD_GRAPHS_H
#define BBW_TEST_GRAD_GRAPHS_H

void grad_graphs_check(void);          /* and tells grad_case.h what it has covered */
void grad_graphs_check_refusals(void); /* what has no gradient inside of a body, by the name of the inner node */
void grad_graphs_check_memory(void);   /* every allocation fails once */
void grad_graphs_check_frozen(void);   /* what is frozen costs nothing */

#endif
