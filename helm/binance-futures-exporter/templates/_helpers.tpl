{{/* Names, labels and configuration files, which several objects share. */}}

{{/* At most 52 characters: a StatefulSet appends a hyphen and a hash of 10 in a label, which holds 63. */}}
{{- define "exporter.short" -}}
{{ regexReplaceAll "-+$" (trunc 52 .) "" }}
{{- end }}

{{- define "exporter.name" -}}
{{ default .Chart.Name .Values.nameOverride | include "exporter.short" }}
{{- end }}

{{/* Full name of the objects, one of which is a Service: Helm allows releases whose name a Service cannot have. */}}
{{- define "exporter.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- $full := contains $name .Release.Name | ternary .Release.Name (printf "%s-%s" .Release.Name $name) -}}
{{- $short := default $full .Values.fullnameOverride | include "exporter.short" -}}
{{- if not (regexMatch "^[a-z][-a-z0-9]*$" $short) -}}
{{- fail (printf "%q cannot be the name of a Service, which starts with a letter and has only letters, digits and hyphens: set fullnameOverride" $short) -}}
{{- end -}}
{{ $short }}
{{- end }}

{{- define "exporter.namespace" -}}
{{ default .Release.Namespace .Values.namespaceOverride }}
{{- end }}

{{/* Metadata of an object: (dict "root" $ "component" …), and optionally "name", "namespace", "labels", "annotations". */}}
{{- define "exporter.metadata" -}}
name: {{ default (include "exporter.fullname" .root) .name | quote }}
namespace: {{ default (include "exporter.namespace" .root) .namespace | quote }}
labels:
  {{- include "exporter.labels" . | nindent 2 }}
{{- with .annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* Labels of an object; arguments as above. Version and part-of may be overridden. */}}
{{- define "exporter.labels" -}}
{{- $root := .root -}}
{{- $tag := regexFind "^[a-zA-Z0-9]([-._a-zA-Z0-9]{0,61}[a-zA-Z0-9])?$" ($root.Values.image.tag | default "") -}}
{{- $labels := dict
  "helm.sh/chart" (printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-")
  "app.kubernetes.io/managed-by" $root.Release.Service
  "app.kubernetes.io/version" ($tag | default ($root.Chart.AppVersion | replace "+" "_"))
  "app.kubernetes.io/part-of" $root.Chart.Name -}}
{{ include "exporter.join" (list $labels (include "exporter.selector" . | fromYaml) $root.Values.commonLabels .labels) }}
{{- end }}

{{/* Several maps, or nulls, as one: a later one wins, unlike in "merge" also with an empty value. */}}
{{- define "exporter.join" -}}
{{- $joined := dict -}}
{{- range . -}}
{{- range $key, $value := . -}}
{{- $_ := set $joined $key $value -}}
{{- end -}}
{{- end -}}
{{ toYaml $joined }}
{{- end }}

{{- define "exporter.podLabels" -}}
{{ include "exporter.join" (list (include "exporter.selector" (dict "root" . "component" "exporter") | fromYaml) .Values.podLabels) }}
{{- end }}

{{/* Labels that select the pods of a component; arguments as above. The test's pod must not be one of the exporter's. */}}
{{- define "exporter.selector" -}}
app.kubernetes.io/name: {{ include "exporter.name" .root | quote }}
app.kubernetes.io/instance: {{ .root.Release.Name | quote }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "exporter.serviceAccountName" -}}
{{ default (.Values.serviceAccount.create | default false | ternary (include "exporter.fullname" .) "default") .Values.serviceAccount.name }}
{{- end }}

{{- define "exporter.image" -}}
{{- with coalesce .Values.global.imageRegistry .Values.image.registry }}{{ trimSuffix "/" . }}/{{ end -}}
{{ .Values.image.repository }}
{{- if .Values.image.digest }}@{{ .Values.image.digest }}{{ else }}:{{ default .Chart.AppVersion .Values.image.tag }}{{ end }}
{{- end }}

{{/* What all pods of the chart have. */}}
{{- define "exporter.pod" -}}
serviceAccountName: {{ include "exporter.serviceAccountName" . | quote }}
# A Service's variables could have the names of the exporter's flags.
enableServiceLinks: false
{{- with concat (.Values.global.imagePullSecrets | default list) (.Values.imagePullSecrets | default list) }}
imagePullSecrets:
  {{- $secrets := list }}
  {{- range . }}{{ $secrets = append $secrets (kindIs "string" . | ternary (dict "name" .) .) }}{{ end }}
  {{- toYaml (uniq $secrets) | nindent 2 }}
{{- end }}
securityContext:
  {{- toYaml .Values.podSecurityContext | nindent 2 }}
{{- range $field := list "nodeSelector" "tolerations" "affinity" "priorityClassName" }}
{{- with get $.Values $field }}
{{ toYaml (dict $field .) }}
{{- end }}
{{- end }}
{{- end }}

{{- define "exporter.replicas" -}}
{{ if .Values.demo }}1{{ else }}{{ int .Values.shards }}{{ end }}
{{- end }}

{{- define "exporter.scheme" -}}
http{{ if .Values.web.tls.enabled }}s{{ end }}
{{- end }}

{{/* Parent of config/, keys/ and web/, which are next to each other because nothing can be mounted into a read-only volume. */}}
{{- define "exporter.directory" -}}
/etc/binance-futures-exporter
{{- end }}

{{/* The keys to mount, as {Secret: {key: true}}. */}}
{{- define "exporter.keys" -}}
{{- $secrets := dict -}}
{{- range $index, $account := .Values.accounts -}}
{{- range $field, $file := $account -}}
{{- if and (hasSuffix "_file" $field) $file (not (hasPrefix "/" $file)) -}}
{{- if not $account.secretName -}}
{{- fail (printf "accounts[%d].secretName: missing, as %s is not an absolute path" $index $field) -}}
{{- end -}}
{{- $_ := set $secrets $account.secretName (set (get $secrets $account.secretName | default dict) $file true) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{ toYaml $secrets }}
{{- end }}

{{/* The Secrets and ConfigMaps that pods need to start, as arguments of kubectl. */}}
{{- define "exporter.needs" -}}
{{- $secrets := list .Values.web.existingSecret .Values.web.tls.secretName -}}
{{- $configMaps := list -}}
{{- if not .Values.demo -}}
{{- $secrets = concat $secrets (include "exporter.keys" . | fromYaml | keys) -}}
{{- $configMaps = list .Values.existingConfigMap -}}
{{- end -}}
{{- range concat (.Values.extraEnv | default list) (.Values.envFrom | default list) -}}
{{- $from := .valueFrom | default dict -}}
{{- with or $from.secretKeyRef .secretRef -}}
{{- $secrets = append $secrets (.optional | default false | ternary "" .name) -}}
{{- end -}}
{{- with or $from.configMapKeyRef .configMapRef -}}
{{- $configMaps = append $configMaps (.optional | default false | ternary "" .name) -}}
{{- end -}}
{{- end -}}
{{- range compact $secrets | uniq | sortAlpha }} secret/{{ . }}{{ end -}}
{{- range compact $configMaps | uniq | sortAlpha }} configmap/{{ . }}{{ end -}}
{{- end }}

{{/* exporter.yml. Shards behind one IP share its request weight. toYaml leaves "=" and "<<" unquoted, which are valid names. */}}
{{- define "exporter.config" -}}
{{- $config := deepCopy .Values.config -}}
{{- if and (gt (int .Values.shards) 1) (not .Values.distinctEgressPerPod) -}}
{{- $shares := dict "weight_share" 0.5 -}}
{{- $rest := or ($config.funding).enabled ($config.prices).enabled ($config.income).enabled -}}
{{- range .Values.accounts -}}
{{- $rest = or $rest (.income).enabled -}}
{{- end -}}
{{- if $rest -}}
{{- $_ := set $shares "rest_weight_share" 0.1 -}}
{{- end -}}
{{- range $name, $default := $shares -}}
{{- $share := divf (get $config.binance $name | default $default) $.Values.shards -}}
{{- if lt $share 0.01 -}}
{{- fail (printf "shards: each of %v pods behind one IP would get a %s of %.4f, which is below 0.01; use fewer, raise config.binance.%s, or set distinctEgressPerPod" $.Values.shards $name $share $name) -}}
{{- end -}}
{{- $_ := set $config.binance $name $share -}}
{{- end -}}
{{- end -}}
{{ toYaml $config }}
accounts:
{{- range $entry := .Values.accounts }}
{{- $account := omit $entry "name" "secretName" -}}
{{- range $field, $file := $account -}}
{{- if and (hasSuffix "_file" $field) $file (not (hasPrefix "/" $file)) -}}
{{- $_ := set $account $field (printf "%s/keys/%s/%s" (include "exporter.directory" $) $entry.secretName $file) -}}
{{- end -}}
{{- end }}
  - name: {{ toRawJson $entry.name }}
    {{- toYaml $account | nindent 4 }}
{{- end }}
{{- end }}

{{/* The data of the ConfigMap, if there is any: exporter.yml, and web.yml for a TLS Secret without one. */}}
{{- define "exporter.data" -}}
{{- if not (or .Values.demo .Values.existingConfigMap) }}
exporter.yml: |
  {{- include "exporter.config" . | nindent 2 }}
{{- end }}
{{- if and .Values.web.tls.secretName (not .Values.web.existingSecret) }}
web.yml: |
  tls_server_config:
    cert_file: tls/tls.crt
    key_file: tls/tls.key
    {{- if .Values.web.tls.clientCertificates }}
    client_auth_type: RequireAndVerifyClientCert
    client_ca_file: tls/ca.crt
    {{- end }}
{{- end }}
{{- end }}

{{/* Not empty if pods have to reach other ports than TCP 443: a proxy, or an endpoint at another port. */}}
{{- define "exporter.otherPorts" -}}
{{- if not .Values.demo -}}
{{- range prepend .Values.accounts (dict "binance" .Values.config.binance) -}}
{{- $binance := .binance | default dict -}}
{{- range list $binance.endpoint $binance.rest_endpoint -}}
{{- $endpoint := regexFind "^[a-zA-Z]+://[^/?#]*" (. | default "") -}}
{{- if not (regexMatch `^$|(?i:^(wss|https)://(\[.*\]|[^:]*):?$)|:0*443$` $endpoint) }} endpoint{{ end -}}
{{- end -}}
{{- if contains "://" ($binance.proxy | default "") }} proxy{{ end -}}
{{- end -}}
{{- range .Values.extraEnv -}}
{{- regexFind "(?i)^(https?|wss?|all)_proxy$" .name -}}
{{- end -}}
{{- end -}}
{{- end }}
