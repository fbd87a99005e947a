// federation: the program that server and clients run, recorded once and compiled into two targets.
//
// A round: the application starts it on the server; the server sends the parameters to all clients it knows; each client loads
// them, trains on its own data and sends back new parameters, how many samples stand behind them, and its loss; the server
// takes the contributions; when the application says so it averages them, loads the average and tests it.

import { compile, defineModule, slots, types } from '../js/index.js';

/** @param {{epochs?: number, batchSize?: number, learningRate?: number}} [training] */
export function federatedRound({ epochs = 2, batchSize = 32, learningRate = 0.2 } = {}) {
  const model = slots.model();
  const data = slots.dataSource(); // a client's share, or the server's test set
  const sum = slots.aggregator();
  const clients = slots.peerSelector('clients');
  const server = clients.ofClass('@self');

  return defineModule('Round', (g) => {
    // On the server.
    const start = g.input('start'); // any bytes: what the clients shall know of this round
    const task = g.netOut('task', clients.currentView(g, start), g.bundle([model.params(g, start), start]));

    // On each client.
    const [params, status] = g.unbundle(task, [types.f32, types.bytes]);
    const loaded = model.loadParameters(g, params);
    const [x, labels] = data.nextBatch(g, loaded);
    const [loss, samples] = model.train(g, x, labels, { epochs, batchSize, learningRate });
    g.output('trained', g.bundle([loss, status]));
    const trained = model.params(g, loss);
    const update = g.netOut('update', server.currentView(g, loss), g.bundle([trained, samples, loss, status]));

    // On the server again.
    const [theirParams, theirSamples, theirLoss, theirStatus] = g.unbundle(update, [types.f32, types.bytes, types.bytes, types.bytes]);
    const taken = sum.contribute(g, theirParams, theirSamples);
    g.output('report', g.bundle([theirLoss, theirStatus, taken]));

    // When the application has heard enough.
    const finish = g.input('finish');
    const [average] = sum.aggregate(g, finish);
    const [testX, testLabels] = data.nextBatch(g, model.loadParameters(g, average));
    const [testLoss, accuracy] = model.evaluate(g, testX, testLabels);
    g.output('tested', g.bundle([testLoss, accuracy]));
  });
}

/**
 * @param {object} [options]
 * @param {Parameters<typeof federatedRound>[0]} [options.training] @param {import('./participant.js').ModelName} [options.model] @param {any} [options.wasm]
 * @returns {Promise<Uint8Array>}
 */
export function compileFederation({ training, model = 'mlp', wasm } = {}) {
  return compile(federatedRound(training), {
    wasm,
    perHopBudgetNs: 60_000_000_000n, // a client may train that long before its answer is late
    bindings: {
      model: { role: 'Model', type: model === 'mlp' ? 'OnnxModel' : 'TrainableModel' },
      data: { role: 'DataSource', type: 'Digits' },
      sum: { role: 'Aggregator', type: 'FedAvg' },
      peers: { role: 'PeerSelector', type: 'KnownPeers' },
    },
    targetNames: { '@self': 'Server', clients: 'Client' },
  });
}
