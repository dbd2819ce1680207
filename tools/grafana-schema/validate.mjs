// Checks dashboards against Grafana's own types: `node validate.mjs FILE…`. Prints each fault; exits with 1 if there is any.
// A property that the types do not know is a fault, too: it is a misspelt one, or one that this Grafana no longer reads.
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import Ajv from "ajv";
import { createGenerator } from "ts-json-schema-generator";

const beside = (name) => fileURLToPath(new URL(name, import.meta.url));
const generator = createGenerator({
  path: beside("shapes.ts"),
  tsconfig: beside("tsconfig.json"),
  additionalProperties: false,
  skipTypeCheck: true,
});
const ajv = new Ajv({ allErrors: true, strict: false });
const checks = new Map();

/** Tell the faults of a value by a type of shapes.ts, each with its place. */
function faults(type, value, place) {
  if (!checks.has(type)) checks.set(type, ajv.compile(generator.createSchema(type)));
  const check = checks.get(type);
  return check(value)
    ? []
    : check.errors.map((error) => `${place}${error.instancePath} ${error.message} ${JSON.stringify(error.params)}`);
}

/** Tell the faults of what the dashboard's own type leaves open: the options and field settings of each kind of panel. */
function panelFaults(panel, place) {
  const found = faults(`Options_${panel.type}`, panel.options, `${place}/options`);
  if (panel.type === "stat") return found;
  const custom = `Custom_${panel.type}`;
  found.push(...faults(custom, panel.fieldConfig.defaults.custom ?? {}, `${place}/fieldConfig/defaults/custom`));
  panel.fieldConfig.overrides.forEach(({ properties }, index) => {
    for (const { id, value } of properties.filter(({ id }) => id.startsWith("custom."))) {
      found.push(...faults(custom, { [id.slice("custom.".length)]: value }, `${place}/fieldConfig/overrides/${index}`));
    }
  });
  return found;
}

let ok = true;
for (const file of process.argv.slice(2)) {
  const dashboard = JSON.parse(readFileSync(file, "utf8"));
  const found = faults("Whole", dashboard, file);
  dashboard.panels.forEach((panel, index) => found.push(...panelFaults(panel, `${file}/panels/${index}`)));
  found.forEach((fault) => console.log(fault));
  ok &&= found.length === 0;
}
process.exitCode = ok ? 0 : 1;
