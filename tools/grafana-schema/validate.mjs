// Validates dashboards against Grafana's types: `node validate.mjs FILE…`. Prints each error; exits with 1 if there is any.
// An unknown property is an error, too: it is misspelled, or this version of Grafana no longer reads it.
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import Ajv from "ajv";
import { createGenerator } from "ts-json-schema-generator";

const local = (name) => fileURLToPath(new URL(name, import.meta.url));
const generator = createGenerator({
  path: local("shapes.ts"),
  tsconfig: local("tsconfig.json"),
  additionalProperties: false,
  skipTypeCheck: true,
});
const ajv = new Ajv({ allErrors: true, strict: false });
const checks = new Map();

/** Return the errors of a value, validated against a type in shapes.ts, each with its path. */
function errorsOf(type, value, place) {
  if (!checks.has(type)) checks.set(type, ajv.compile(generator.createSchema(type)));
  const check = checks.get(type);
  return check(value)
    ? []
    : check.errors.map((error) => `${place}${error.instancePath} ${error.message} ${JSON.stringify(error.params)}`);
}

/** Return the errors in the options and field settings of a panel, which the type of the dashboard leaves open. */
function panelErrors(panel, place) {
  const found = errorsOf(`Options_${panel.type}`, panel.options, `${place}/options`);
  if (panel.type === "stat") return found;
  const custom = `Custom_${panel.type}`;
  found.push(...errorsOf(custom, panel.fieldConfig.defaults.custom ?? {}, `${place}/fieldConfig/defaults/custom`));
  panel.fieldConfig.overrides.forEach(({ properties }, index) => {
    for (const { id, value } of properties.filter(({ id }) => id.startsWith("custom."))) {
      found.push(...errorsOf(custom, { [id.slice("custom.".length)]: value }, `${place}/fieldConfig/overrides/${index}`));
    }
  });
  return found;
}

let ok = true;
for (const file of process.argv.slice(2)) {
  const dashboard = JSON.parse(readFileSync(file, "utf8"));
  const found = errorsOf("Whole", dashboard, file);
  dashboard.panels.forEach((panel, index) => found.push(...panelErrors(panel, `${file}/panels/${index}`)));
  found.forEach((error) => console.log(error));
  ok &&= found.length === 0;
}
process.exitCode = ok ? 0 : 1;
