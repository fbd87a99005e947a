/*
 * program: the artifacts that simulated Nodes run, written down as text and encoded here, by hand, as the ModelProto that install reads.
 *
 *   target E x peers -> asked answered      an entry graph with its inputs and outputs; its name is the name of the partition
 *   slot E model Model|OnnxModel            a component for a slot of that target; operators of the role find it because it is the only one
 *   wire::Send x peers -> d h | to.x=E.q    an operator: domain::Type inputs -> outputs | attributes
 *
 * Domains stand behind "ai.bytesandbrains."; onnx is ai.onnx.  An attribute is name=7 (INT), name='text' (STRING), or to.<input>=<target>.<value>: the route of that input to the
 * value that a Recv of the target gives.
 */
#ifndef SIM_PROGRAM_H
#define SIM_PROGRAM_H

#include "base.h"

/* The encoded model; free it with sim_buf_free.  Text that it does not understand ends the program. */
sim_buf sim_program(const char *text);

/* The binary address /site/<id> of a value that a Recv of a target gives (FNV-1a 64 over partition, a zero byte and value name, top bit set).  Returns its length. */
size_t sim_route(const char *partition, size_t partition_len, const char *value, size_t value_len, uint8_t out[16]);

/* An ONNX file: 4 numbers in, Gemm to 3, Relu, Gemm to 2.  The seed gives the weights, small and exact in f32. */
#define SIM_MODEL_INPUTS     4u
#define SIM_MODEL_CLASSES    2u
#define SIM_MODEL_PARAMETERS 23u
sim_buf sim_model(uint64_t seed);

#endif
