/*
 * artifact: small installable models from text, for tests.
 *
 * One line per function or node:
 *   target M x t -> y          an entry graph with its inputs and outputs
 *   function F p -> r          a library function
 *   bootstrap B p              a function with the phase bootstrap
 *   slot m Model|Probe         binds a component type to a slot of target M, in a role; nodes of the role find it when it is the only one
 *   syscall::Gate x t -> y     a node; domains syscall, wire, composite, address_book, module and role.model, ... stand behind "ai.bytesandbrains."; onnx is ai.onnx;
 *                              anything with a dot in it is taken as it is
 * A node line may end with "|" and attributes: name=7 (INT), name='text' (STRING), name=@e2010000 (STRING, hex), and %name='text' for metadata.  Names are separated by one space.
 */
#ifndef BBW_TEST_ARTIFACT_H
#define BBW_TEST_ARTIFACT_H

#include "base/arena.h"
#include "bbw/node.h"

/* Encodes the model; memory from the arena.  Aborts the test on text that it does not understand. */
bbw_bytes artifact(bbw_arena *arena, const char *text);

/* Installs target M of the model on the node with peer id 1 and address /p2p/1; unresolved operators are allowed.  NULL when it is refused. */
bbw_node *artifact_install(const char *text, const bbw_config *config, const bbw_mem *mem, bbw_error *err);

/* The same with component types for the slots. */
bbw_node *artifact_install_with(const char *text, const bbw_config *config, const bbw_component_type *const *types,
                                size_t type_count, const bbw_mem *mem, bbw_error *err);

#endif
