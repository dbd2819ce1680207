// What a dashboard and the panels in use have to look like, as Grafana itself publishes its types.
import type { Dashboard } from "@grafana/schema/dist/esm/raw/dashboard/x/Dashboard_types.gen";
import type { Options as StatOptions } from "@grafana/schema/dist/esm/raw/composable/stat/panelcfg/x/StatPanelCfg_types.gen";
import type { FieldConfig, Options as TableOptions } from "@grafana/schema/dist/esm/raw/composable/table/panelcfg/x/TablePanelCfg_types.gen";
import type { Options as TimeSeriesOptions } from "@grafana/schema/dist/esm/raw/composable/timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen";
import type { GraphFieldConfig } from "@grafana/schema";

export type Whole = Dashboard;
export type Options_stat = StatOptions;
export type Options_table = TableOptions;
export type Options_timeseries = TimeSeriesOptions;
// What a field may set is all optional: defaults and overrides give parts of it.
export type Custom_table = Partial<FieldConfig>;
export type Custom_timeseries = GraphFieldConfig;
