/*
 * session: a node in a test, its memory, and what its polls reported.
 */
#ifndef BBW_TEST_SESSION_H
#define BBW_TEST_SESSION_H

#include "base/vec.h"
#include "bbw/node.h"
#include "bbw/step.h"
#include "test_mem.h"

#define SESSION_LOG_MAX 65536

typedef struct session {
  test_mem mem;
  bbw_node *node;
  bbw_vec steps;             /* every step byte so far */
  char log[SESSION_LOG_MAX]; /* "topic=hex " per application event of an output or topic */
  size_t log_len;
  unsigned counts[32]; /* steps by number */
  uint64_t last_cmd;
  char failed[256]; /* "kind/reason" of the last OpFailed */
} session;

/* Installs target M of a model in the notation of artifact.h. */
void session_install(session *s, const char *text, const bbw_config *config);
/* The same with component types for the slots. */
void session_install_with(session *s, const char *text, const bbw_config *config,
                          const bbw_component_type *const *types, size_t type_count);
/* Targets M and N of the model, with the moody model component bound at a slot of both. */
void session_install_moody(session *s, const char *text, size_t target_count);
/* Nothing may be left but what is held under names. */
void session_end(session *s);
/* One poll; true when nothing is left to do. */
bool session_poll(session *s);
/* Polls until nothing is left to do; how often that took. */
unsigned session_poll_all(session *s);
/* One input of M as text; name "": none. */
uint64_t session_invoke(session *s, const char *name, const char *text);
bbw_stats session_stats(const session *s);

#endif
