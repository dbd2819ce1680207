// Puts Binance's own connector to work: what to do as JSON on standard input, what came of it on standard output.
import dns from 'node:dns';
import { text } from 'node:stream/consumers';
import { DerivativesTradingUsdsFutures } from '@binance/derivatives-trading-usds-futures';

// Only an address given as a number can be dialled.
dns.lookup = (host) => {
  throw new Error(`the connector looked up ${host}`);
};

const outcomesOf = async ({ settings, calls }) => {
  const { websocketAPI } = new DerivativesTradingUsdsFutures({ configurationWebsocketAPI: settings });
  const connection = await websocketAPI.connect();
  const outcomes = [];
  for (const [name, ...args] of calls) {
    try {
      outcomes.push({ answer: await connection[name](...args) });
    } catch (error) {
      outcomes.push({ error });
    }
  }
  return outcomes;
};

const outcomes = [];
for (const client of JSON.parse(await text(process.stdin)).clients) outcomes.push(await outcomesOf(client));
process.stdout.write(JSON.stringify(outcomes), () => process.exit(0));
