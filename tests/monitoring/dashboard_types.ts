// The types of a dashboard that Grafana publishes, made strict for the panels that ours has. run.sh puts
// dashboard.json behind this and has it compiled.
import type { Dashboard, FieldConfig, Panel, RowPanel, VariableModel } from '@grafana/schema';
import type {
    FieldConfig as TimeSeriesField, Options as TimeSeriesOptions,
} from './node_modules/@grafana/schema/dist/types/raw/composable/timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen';
import type { Options as StatOptions } from './node_modules/@grafana/schema/dist/types/raw/composable/stat/panelcfg/x/StatPanelCfg_types.gen';

// JSON has the values of enumerations, not their names.
type Plain<T> = T extends string ? `${T}`
    : T extends number | boolean | null | undefined ? T
    : T extends (infer U)[] ? Plain<U>[]
    : { [K in keyof T]: Plain<T[K]> };

type DataSource = { type: 'prometheus', uid: '${datasource}' };
type Query = {
    datasource: DataSource, editorMode: 'code', expr: string, instant: boolean, legendFormat: string,
    range: boolean, refId: string,
};
type Of<Kind extends string, Options, Custom> =
    Omit<Plain<Panel>, 'type' | 'options' | 'fieldConfig' | 'targets' | 'description' | 'datasource'> & {
        type: Kind, options: Plain<Options>, targets: Query[], description: string, datasource: DataSource,
        fieldConfig: {
            defaults: Omit<Plain<FieldConfig>, 'custom'> & { unit: string, custom?: Plain<Custom> }, overrides: [],
        },
    };
type Strict = Omit<Plain<Dashboard>, 'panels' | 'templating'> & {
    panels: (Plain<RowPanel> | Of<'timeseries', TimeSeriesOptions, TimeSeriesField> | Of<'stat', StatOptions, never>)[],
    templating: { list: Plain<VariableModel>[] },
};

export const dashboard: Strict =
