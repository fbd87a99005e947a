using Workerd = import "/workerd/workerd.capnp";

# One worker: the package's own files as modules, bb.wasm as a compiled module. The test fills in the module list.
const config :Workerd.Config = (
  services = [(name = "main", worker = .main)],
  sockets = [(name = "http", address = "127.0.0.1:@PORT@", http = (), service = "main")],
);

const main :Workerd.Worker = (
  compatibilityDate = "2026-01-01",
  modules = [
@MODULES@
  ],
);
