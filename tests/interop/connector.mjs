// Puts Binance's own connector to work: what to do as JSON on standard input, what came of it on standard output.
import dns from 'node:dns';
import { text } from 'node:stream/consumers';
import { DerivativesTradingUsdsFutures } from '@binance/derivatives-trading-usds-futures';

// Only an address given as a number can be dialled.
dns.lookup = (host) => {
  throw new Error(`the connector looked up ${host}`);
};

const outcomesOf = async ({ settings, calls }) => {
  const { rest, ...configurationWebsocketAPI } = settings;
  const client = new DerivativesTradingUsdsFutures({ configurationWebsocketAPI, configurationRestAPI: rest });
  const connection = await client.websocketAPI.connect();
  const outcomes = [];
  for (const [name, ...args] of calls) {
    try {
      // The methods that only REST has answer with a function of the decoded body.
      const answer = name in connection ? await connection[name](...args) : await (await client.restAPI[name](...args)).data();
      outcomes.push({ answer });
    } catch (error) {
      outcomes.push({ error: error instanceof Error ? { name: error.name, code: error.code, message: error.message } : error });
    }
  }
  return outcomes;
};

const outcomes = [];
for (const client of JSON.parse(await text(process.stdin)).clients) outcomes.push(await outcomesOf(client));
// Integers beyond 2^53 are BigInt, which JSON does not have.
const plain = (_, value) => (typeof value === 'bigint' ? `${value}` : value);
process.stdout.write(JSON.stringify(outcomes, plain), () => process.exit(0));
