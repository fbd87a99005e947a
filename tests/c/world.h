/*
 * world: a few nodes in a test, each with its own clock, and a network that carries their envelopes after a fixed time.  Everything in it happens when the test says so.
 */
#ifndef BBW_TEST_WORLD_H
#define BBW_TEST_WORLD_H

#include "bbw/node.h"
#include "bbw/step.h"
#include "test_mem.h"

#define WORLD_NODES_MAX    50u
#define WORLD_MESSAGES_MAX 256u
#define WORLD_MS           UINT64_C(1000000)

typedef struct world_node {
  test_mem mem;
  bbw_node *node;
  uint64_t ahead_ns;   /* its clock at time 0 */
  int64_t drift_ppm;   /* and how much faster it runs */
  bool is_away;        /* what is sent to it is lost */
  bool is_unreachable; /* the transport says so to who sends to it */
  char log[4096];      /* "topic=hex " per output of the program; begins anew when it is full */
  uint8_t last[1024];  /* the last output */
  size_t last_len;
  char failed[1024];     /* "kind/reason/detail " per OpFailed */
  unsigned counts[32];   /* steps by number */
  uint64_t received;     /* envelopes */
  uint64_t remaining_ns; /* of the first envelope that was sent to it; 0 = none */
  uint64_t last_cmd;
} world_node;

typedef struct world {
  world_node nodes[WORLD_NODES_MAX];
  size_t count;
  uint64_t now_ns, latency_ns;
  uint64_t step_ns; /* a millisecond at first */
  struct world_message {
    size_t from, to, len;
    uint64_t at_ns;
    uint8_t *bytes;
  } messages[WORLD_MESSAGES_MAX]; /* on their way */
  size_t message_count;
  bool has_news; /* a transport has told a node something in this moment */
} world;

/* Nodes 1 to count with target M of the text (see artifact.h), which know nobody.  seed 0: ids of requests start at 1. */
void world_begin(world *w, size_t count, const char *text, uint64_t seed);
/* The same with a text for each. */
void world_begin_each(world *w, size_t count, const char *const *texts, uint64_t seed);
/* All memory has to have come back. */
void world_end(world *w);
/* The PeerIdVec payload of node numbers; the view lives until the next call. */
bbw_bytes world_list(const size_t *numbers, size_t count);
void world_know(world *w, size_t number, size_t other);
/* Invokes M with x = one byte and peers = a list, as far as M has such inputs. */
uint64_t world_ask(world *w, size_t number, const size_t *peers, size_t count);
/* Lets time pass, in steps of step_ns; 0: only what happens now. */
void world_run(world *w, uint64_t ns);
world_node *world_at(world *w, size_t number);

#endif
