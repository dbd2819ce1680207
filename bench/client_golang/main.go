// Serves the same series as gauges with client_golang: prints its URL, and serves until standard input is closed.
package main

import (
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
)

func main() {
	file, err := os.Open(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	var parser expfmt.TextParser
	families, err := parser.TextToMetricFamilies(file)
	if err != nil {
		log.Fatal(err)
	}
	registry := prometheus.NewRegistry()
	for name, family := range families {
		if family.GetType() == dto.MetricType_HISTOGRAM || len(family.Metric) == 0 {
			continue
		}
		var names []string
		for _, pair := range family.Metric[0].Label {
			names = append(names, pair.GetName())
		}
		gauge := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: family.GetHelp()}, names)
		registry.MustRegister(gauge)
		for _, metric := range family.Metric {
			var values []string
			for _, pair := range metric.Label {
				values = append(values, pair.GetValue())
			}
			value := metric.GetGauge().GetValue()
			if metric.Counter != nil {
				value = metric.Counter.GetValue()
			}
			gauge.WithLabelValues(values...).Set(value)
		}
	}
	families = nil
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	http.Handle("/metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	go func() { log.Fatal(http.Serve(listener, nil)) }()
	fmt.Printf("http://%s\n", listener.Addr())
	_, _ = io.Copy(io.Discard, os.Stdin)
}
