// The types of a dashboard and of its panels, as published by Grafana.
import type { Dashboard } from "@grafana/schema/dist/esm/raw/dashboard/x/Dashboard_types.gen";
import type { Options as StatOptions } from "@grafana/schema/dist/esm/raw/composable/stat/panelcfg/x/StatPanelCfg_types.gen";
import type { FieldConfig, Options as TableOptions } from "@grafana/schema/dist/esm/raw/composable/table/panelcfg/x/TablePanelCfg_types.gen";
import type { Options as TimeSeriesOptions } from "@grafana/schema/dist/esm/raw/composable/timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen";
import type { GraphFieldConfig } from "@grafana/schema";

export type Whole = Dashboard;
export type Options_stat = StatOptions;
export type Options_table = TableOptions;
export type Options_timeseries = TimeSeriesOptions;
// All field settings are optional, because defaults and overrides set only some of them.
export type Custom_table = Partial<FieldConfig>;
export type Custom_timeseries = GraphFieldConfig;
