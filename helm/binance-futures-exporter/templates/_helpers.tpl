{{/* Names, labels and the texts of the configuration, which several objects share. */}}

{{/* At most 52 characters: a StatefulSet puts a hyphen and a hash of 10 behind it in a label, which holds 63. */}}
{{- define "exporter.short" -}}
{{ regexReplaceAll "-+$" (trunc 52 .) "" }}
{{- end }}

{{- define "exporter.name" -}}
{{ default .Chart.Name .Values.nameOverride | include "exporter.short" }}
{{- end }}

{{/* Name of the objects, among them a Service: Helm lets a release be named what a Service cannot. */}}
{{- define "exporter.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- $full := contains $name .Release.Name | ternary .Release.Name (printf "%s-%s" .Release.Name $name) -}}
{{- $short := default $full .Values.fullnameOverride | include "exporter.short" -}}
{{- if not (regexMatch "^[a-z][-a-z0-9]*$" $short) -}}
{{- fail (printf "a Service cannot be named %q, for it must begin with a letter and go on with letters, digits and hyphens: set fullnameOverride" $short) -}}
{{- end -}}
{{ $short }}
{{- end }}

{{/* Labels of an object: (list $ "component"). */}}
{{- define "exporter.labels" -}}
{{- $ := index . 0 -}}
{{- $tag := $.Values.image.tag | default "" -}}
{{- $version := regexFind "^[a-zA-Z0-9]([-._a-zA-Z0-9]{0,61}[a-zA-Z0-9])?$" $tag | default ($.Chart.AppVersion | replace "+" "_") -}}
{{- $own := dict
  "helm.sh/chart" (printf "%s-%s" $.Chart.Name $.Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-")
  "app.kubernetes.io/version" $version
  "app.kubernetes.io/managed-by" $.Release.Service
  "app.kubernetes.io/part-of" $.Chart.Name -}}
{{- $selector := include "exporter.selector" . | fromYaml -}}
{{ merge (dict) $selector $own ($.Values.commonLabels | default dict) | toYaml }}
{{- end }}

{{/* What selects the pods of a component: (list $ "component"). The test's pod must not be one of the exporter's. */}}
{{- define "exporter.selector" -}}
{{- $ := index . 0 -}}
app.kubernetes.io/name: {{ include "exporter.name" $ | quote }}
app.kubernetes.io/instance: {{ $.Release.Name | quote }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{- define "exporter.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{ default (include "exporter.fullname" .) .Values.serviceAccount.name }}
{{- else -}}
{{ default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "exporter.image" -}}
{{- with .Values.global.imageRegistry }}{{ trimSuffix "/" . }}/{{ end -}}
{{ .Values.image.repository }}
{{- if .Values.image.digest }}@{{ .Values.image.digest }}{{ else }}:{{ default .Chart.AppVersion .Values.image.tag }}{{ end }}
{{- end }}

{{- define "exporter.replicas" -}}
{{ if .Values.demo }}1{{ else }}{{ .Values.shards }}{{ end }}
{{- end }}

{{- define "exporter.scheme" -}}
http{{ if .Values.web.tls.enabled }}s{{ end }}
{{- end }}

{{/* Where everything is mounted: config/, keys/ and web/ beside each other, for nothing can be mounted into a read-only volume. */}}
{{- define "exporter.directory" -}}
/etc/binance-futures-exporter
{{- end }}

{{/* Of an entry of accounts, what names a file. */}}
{{- define "exporter.files" -}}
{{ pick . "api_key_file" "secret_key_file" "private_key_file" "private_key_passphrase_file" | toYaml }}
{{- end }}

{{/* The accounts' keys, as {Secret: {key: true}}. */}}
{{- define "exporter.keys" -}}
{{- $secrets := dict -}}
{{- range .Values.accounts -}}
{{- $keys := get $secrets .secretName | default dict -}}
{{- range include "exporter.files" . | fromYaml -}}
{{- $_ := set $keys . true -}}
{{- end -}}
{{- $_ := set $secrets .secretName $keys -}}
{{- end -}}
{{ toYaml $secrets }}
{{- end }}

{{/* The names of all Secrets that pods wait for, each once. */}}
{{- define "exporter.secrets" -}}
{{- $names := list .Values.web.existingSecret .Values.web.tls.secretName -}}
{{- if not .Values.demo -}}
{{- $names = concat $names (include "exporter.keys" . | fromYaml | keys) -}}
{{- end -}}
{{- range .Values.extraEnv -}}
{{- with dig "valueFrom" "secretKeyRef" "" . -}}
{{- $names = append $names (.optional | default false | ternary "" .name) -}}
{{- end -}}
{{- end -}}
{{ compact $names | uniq | sortAlpha | join " " }}
{{- end }}

{{/* exporter.yml. Shards behind one IP share its request weight. Helm writes "=" and "<<" without quotes, and both are valid names. */}}
{{- define "exporter.config" -}}
{{- if not (or .Values.accounts .Values.demo) -}}
{{- fail "there is nothing to poll: set accounts (the Secrets of their keys must exist), or demo: true to see it work" -}}
{{- end -}}
{{- $binance := deepCopy .Values.config.binance -}}
{{- if and (gt (int .Values.shards) 1) (not .Values.distinctEgressPerPod) -}}
{{- $share := divf (default 0.5 $binance.weight_share) .Values.shards -}}
{{- if lt $share 0.01 -}}
{{- fail (printf "%v shards behind one IP leave each a weight_share of %v, less than the least, 0.01: use fewer shards, or set distinctEgressPerPod" .Values.shards $share) -}}
{{- end -}}
{{- $_ := set $binance "weight_share" $share -}}
{{- end -}}
{{ dict "binance" $binance "poll" .Values.config.poll | toYaml }}
accounts:
{{- range $entry := .Values.accounts }}
{{- $account := omit $entry "name" "secretName" -}}
{{- range $field, $key := include "exporter.files" $entry | fromYaml -}}
{{- $_ := set $account $field (printf "%s/keys/%s/%s" (include "exporter.directory" $) $entry.secretName $key) -}}
{{- end }}
  - name: {{ toRawJson $entry.name }}
    {{- toYaml $account | nindent 4 }}
{{- end }}
{{- end }}

{{/*
web.yml for a Secret of kind kubernetes.io/tls, where there is no file of the operator's own. It lies beside exporter.yml:
a volume of Secrets alone goes on to follow a renewed certificate when Helm has deleted the ConfigMap of running pods.
*/}}
{{- define "exporter.web" -}}
{{- if and .Values.web.tls.secretName (not .Values.web.existingSecret) -}}
tls_server_config:
  cert_file: {{ include "exporter.directory" . }}/web/tls/tls.crt
  key_file: {{ include "exporter.directory" . }}/web/tls/tls.key
  {{- if .Values.web.tls.clientCertificates }}
  client_auth_type: RequireAndVerifyClientCert
  client_ca_file: {{ include "exporter.directory" . }}/web/tls/ca.crt
  {{- end }}
{{- end }}
{{- end }}

{{/* The data of the ConfigMap, if there is any. */}}
{{- define "exporter.data" -}}
{{- if not .Values.demo }}
exporter.yml: |
  {{- include "exporter.config" . | nindent 2 }}
{{- end }}
{{- with include "exporter.web" . }}
web.yml: |
  {{- . | nindent 2 }}
{{- end }}
{{- end }}

{{/*
Name of the ConfigMap, by what it holds: another configuration is another ConfigMap, which rolls the pods. Those that are not
replaced yet find what they were started with, and never a new exporter.yml beside their old keys.
*/}}
{{- define "exporter.configMap" -}}
{{ include "exporter.fullname" . }}-{{ include "exporter.data" . | sha256sum | trunc 10 }}
{{- end }}

{{/* Not empty where pods have to reach more than TCP 443: a proxy, or an endpoint at another port. */}}
{{- define "exporter.otherPorts" -}}
{{- if not .Values.demo -}}
{{- range prepend .Values.accounts (dict "binance" .Values.config.binance) -}}
{{- $binance := .binance | default dict -}}
{{- $endpoint := regexFind "^[a-zA-Z]+://[^/?#]*" ($binance.endpoint | default "") -}}
{{- if not (regexMatch `^$|(?i:^wss://(\[.*\]|[^:]*):?$)|:0*443$` $endpoint) }} endpoint{{ end -}}
{{- if contains "://" ($binance.proxy | default "") }} proxy{{ end -}}
{{- end -}}
{{- range .Values.extraEnv -}}
{{- regexFind "(?i)^(https?|wss?|all)_proxy$" .name -}}
{{- end -}}
{{- end -}}
{{- end }}

{{/* A probe: (list $ settings path). */}}
{{- define "exporter.probe" -}}
{{- $ := index . 0 -}}
{{- if $.Values.web.tls.clientCertificates -}}
tcpSocket: {port: metrics}
{{- else -}}
httpGet: {path: {{ index . 2 }}, port: metrics, scheme: {{ include "exporter.scheme" $ | upper }}}
{{- end }}
{{- with index . 1 }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* What a ServiceMonitor and a PodMonitor say of scraping. */}}
{{- define "exporter.scrape" -}}
port: metrics
path: /metrics
scheme: {{ include "exporter.scheme" . }}
# `endpoint` is a label of the exporter's own; without this the operator's would take its name.
honorLabels: true
{{- with .Values.scrape.interval }}
interval: {{ . | quote }}
{{- end }}
{{- with .Values.scrape.timeout }}
scrapeTimeout: {{ . | quote }}
{{- end }}
{{- if .Values.web.tls.enabled }}
{{- $tls := .Values.scrape.tlsConfig | default dict }}
{{- if and .Values.web.tls.clientCertificates (not (and $tls.cert $tls.keySecret)) }}
{{- fail "web.tls.clientCertificates: a monitor needs scrape.tlsConfig with cert and keySecret, or every scrape is refused" }}
{{- end }}
{{- if and .Values.web.tls.secretName (not $tls) }}
{{- $ca := dict "secret" (dict "name" .Values.web.tls.secretName "key" "ca.crt") }}
{{- $server := printf "%s.%s.svc" (include "exporter.fullname" .) .Release.Namespace }}
{{- $tls = dict "ca" $ca "serverName" $server }}
{{- end }}
{{- if not $tls }}
{{- fail "web.tls.enabled: say in scrape.tlsConfig how a monitor is to check the certificate" }}
{{- end }}
tlsConfig:
  {{- toYaml $tls | nindent 2 }}
{{- end }}
{{- with .Values.scrape.basicAuth }}
basicAuth:
  {{- toYaml . | nindent 2 }}
{{- end }}
relabelings:
  - {action: replace, targetLabel: job, replacement: {{ .Values.scrape.job | quote }}}
{{- end }}
