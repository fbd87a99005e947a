/*
 * graph: one installed function, names resolved to numbers.
 *
 * Every value name becomes a site, every node an op; names resolve inside their own function.  Sites are numbered as the reference numbers them (install
 * specification §5.2): node outputs in node order, then function inputs; `site_base` makes them unique in the node.  Formals of plain library functions get sites behind
 * the numbered ones, which have no number outside.
 */
#ifndef BBW_ENGINE_GRAPH_H
#define BBW_ENGINE_GRAPH_H

#include "base/map.h"
#include "bbw/component.h"
#include "format/onnx.h"

#define BBW_NO_INDEX UINT32_MAX

struct bbw_op_row;
typedef struct bbw_graph bbw_graph;
typedef struct bbw_frame bbw_frame;

typedef enum bbw_dispatch_kind {
  BBW_DISPATCH_UNRESOLVED,
  BBW_DISPATCH_STATELESS, /* row->run */
  BBW_DISPATCH_COMPONENT, /* the component's dispatch, in `role` */
  BBW_DISPATCH_CALL,      /* a function of the model */
} bbw_dispatch_kind;

/* When an op may fire. */
typedef enum bbw_readiness {
  BBW_READY_ALL,    /* every input present; without inputs: at the start of the execution */
  BBW_READY_ANY,    /* the first input to arrive */
  BBW_READY_SOURCE, /* never by itself: filled or started by the engine (Recv, EventSource, Interval, LifecyclePhase) */
} bbw_readiness;

typedef struct bbw_op {
  const bbw_onnx_node *node;
  const struct bbw_op_row *row; /* STATELESS */
  bbw_graph *callee;            /* CALL */
  const uint32_t *inputs;       /* site per declared input, BBW_NO_INDEX for an empty name */
  const uint32_t *outputs;      /* site per declared output, likewise */
  const uint32_t *readers;      /* of the only output, each op once */
  uint32_t reader_count;
  uint32_t only_output; /* site of the output, if exactly one is declared and it has a name; else BBW_NO_INDEX */
  uint32_t input_count;
  uint32_t output_count;
  uint32_t component;  /* COMPONENT */
  uint32_t part;       /* ops that values connect share a part */
  size_t step_room;    /* most bytes of step records that one dispatch can write */
  uint8_t kind;        /* bbw_dispatch_kind */
  uint8_t readiness;   /* bbw_readiness */
  uint8_t role;        /* bbw_role, COMPONENT */
  bool is_timer_armed; /* Interval: a timer of this op is in the heap */
  bool is_started;     /* Interval: its first execution exists or existed */
} bbw_op;

typedef struct bbw_site {
  bbw_str name;
  uint32_t consumer_first; /* into consumers */
  uint32_t consumer_count; /* each op once */
  uint32_t output_index;   /* position in function.output if produced here, else BBW_NO_INDEX */
  uint32_t sender_site;    /* of a Recv payload site: the site of its sender, else BBW_NO_INDEX */
  uint32_t result_first;   /* first position in function.output with this name, else BBW_NO_INDEX */
  uint32_t part;
  bool is_recv_payload;
  uint64_t mark; /* while the graph is built: the last op that counted this site */
} bbw_site;

struct bbw_graph {
  bbw_str name; /* as registered: function name, or domain::name#overload for library functions */
  const bbw_onnx_function *function;
  uint32_t index;
  bool is_entry_point;
  bool is_bootstrap;
  uint32_t boot_component; /* of the bootstrap of a component: which one; its only op runs it.  Else BBW_NO_INDEX */
  uint64_t site_base;      /* number of site 0 */
  bbw_op *ops;
  uint32_t *needed; /* per op: distinct input sites that must be filled; UINT32_MAX: an input that nothing produces */
  uint32_t op_count;
  bbw_site *sites;
  uint32_t site_count;     /* all of them */
  uint32_t numbered_count; /* those with a number */
  uint32_t *consumers;
  uint32_t consumer_count;
  uint32_t *formal_sites; /* site per function.input entry */
  uint32_t *result_sites; /* site per function.output entry, BBW_NO_INDEX if nothing has that name */
  uint32_t *result_next;  /* per function.output entry: the next one with the same name, else BBW_NO_INDEX */
  uint32_t *starters;     /* ops without inputs that fire at the start of an execution */
  uint32_t starter_count;
  uint32_t *site_indices; /* storage behind the ops' inputs and outputs */
  size_t site_index_count;
  bbw_map site_by_name;
  bbw_frame *idle_frames; /* pool, linked by next */
  uint32_t idle_frame_count;
  uint32_t idle_frame_max; /* of BBW_FRAMES_IDLE_BYTES_MAX */
};

typedef enum bbw_graph_kind { BBW_GRAPH_ENTRY, BBW_GRAPH_BOOTSTRAP, BBW_GRAPH_LIBRARY } bbw_graph_kind;

/* Builds a graph over `function`, which is borrowed and must outlive it.  `name` is borrowed as well. */
bbw_status bbw_graph_new(bbw_graph **out, bbw_str name, const bbw_onnx_function *function, bbw_graph_kind kind,
                         uint32_t index, uint64_t site_base, const bbw_mem *mem);
void bbw_graph_del(bbw_graph *graph, const bbw_mem *mem); /* frees idle frames too; no frame may be live */

/* Lists the starters; called once the readiness of every op is known. */
void bbw_graph_find_starters(bbw_graph *graph);

/* Site of a value name, or BBW_NO_INDEX. */
uint32_t bbw_graph_site_find(const bbw_graph *graph, bbw_str name);
uint64_t bbw_graph_op_ref(const bbw_graph *graph, uint32_t op);

#endif
