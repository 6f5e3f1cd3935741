// Evaluates the alerts of the chart as Prometheus does, by its own engine, over series that a test makes up; and says of
// any expression whether Prometheus can read it.
//
// Reads one JSON object from standard input and writes one: see question and answer. Evaluated is once a minute.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"log/slog"
	"os"
	"slices"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/chunks"
	"github.com/prometheus/prometheus/util/annotations"
	"go.yaml.in/yaml/v3"
)

// Between two samples, and between two evaluations.
const step = time.Minute

// Of one query: far more than any case has.
const (
	mostSamples = 1_000_000
	timeout     = 30 * time.Second
	// As Prometheus does unless told otherwise.
	lookback = 5 * time.Minute
)

type question struct {
	// The PrometheusRule, as Helm renders it.
	Rule string `json:"rule"`
	// Only read, not evaluated.
	Expressions []string   `json:"expressions"`
	Cases       []scenario `json:"cases"`
}

type scenario struct {
	Alert string `json:"alert"`
	// In promtool's notation, a value each minute from 0 on: `metric{label="x"} 1x10`.
	Series []string `json:"series"`
	// When it is asked whether it fires.
	Minute int64 `json:"minute"`
}

type answer struct {
	// The alerts that there are.
	Alerts []string `json:"alerts"`
	// What is wrong with the rule and with expressions.
	Faults []string `json:"faults"`
	// Of each case the labels that fire.
	Firing [][]map[string]string `json:"firing"`
}

type sample struct {
	at    int64
	value float64
}

func (s sample) T() int64                      { return s.at }
func (s sample) ST() int64                     { return 0 }
func (s sample) F() float64                    { return s.value }
func (s sample) H() *histogram.Histogram       { return nil }
func (s sample) FH() *histogram.FloatHistogram { return nil }
func (s sample) Type() chunkenc.ValueType      { return chunkenc.ValFloat }
func (s sample) Copy() chunks.Sample           { return s }

// set goes over series.
type set struct {
	series []storage.Series
	at     int
}

func (s *set) Next() bool                        { s.at++; return s.at < len(s.series) }
func (s *set) At() storage.Series                { return s.series[s.at] }
func (s *set) Err() error                        { return nil }
func (s *set) Warnings() annotations.Annotations { return nil }

func main() {
	log.SetFlags(0)
	var asked question
	if err := json.NewDecoder(os.Stdin).Decode(&asked); err != nil {
		log.Fatalf("the question cannot be read: %v", err)
	}
	reader := parser.NewParser(parser.Options{})
	given := answer{Alerts: []string{}, Faults: []string{}, Firing: [][]map[string]string{}}
	rules, faults := alerts(reader, asked.Rule)
	given.Faults = append(given.Faults, faults...)
	for name := range rules {
		given.Alerts = append(given.Alerts, name)
	}
	slices.Sort(given.Alerts)
	for _, expression := range asked.Expressions {
		if _, err := reader.ParseExpr(expression); err != nil {
			given.Faults = append(given.Faults, fmt.Sprintf("%s: %v", expression, err))
		}
	}
	for _, scenario := range asked.Cases {
		rule, known := rules[scenario.Alert]
		if !known {
			log.Fatalf("there is no alert %s", scenario.Alert)
		}
		firing, err := scenario.firing(reader, rule)
		if err != nil {
			log.Fatalf("%s: %v", scenario.Alert, err)
		}
		given.Firing = append(given.Firing, firing)
	}
	if err := json.NewEncoder(os.Stdout).Encode(given); err != nil {
		log.Fatal(err)
	}
}

// alerts are the rules by their names, as Prometheus loads them: it checks expressions, names and the texts' templates.
func alerts(reader parser.Parser, text string) (map[string]rulefmt.Rule, []string) {
	var object struct {
		Spec map[string]any `yaml:"spec"`
	}
	if err := yaml.Unmarshal([]byte(text), &object); err != nil {
		log.Fatalf("the PrometheusRule is no YAML: %v", err)
	}
	spec, err := yaml.Marshal(object.Spec)
	if err != nil {
		log.Fatal(err)
	}
	groups, errs := rulefmt.Parse(spec, false, model.UTF8Validation, reader, slog.Default())
	var faults []string
	for _, err := range errs {
		faults = append(faults, err.Error())
	}
	rules := map[string]rulefmt.Rule{}
	if groups != nil {
		for _, group := range groups.Groups {
			for _, rule := range group.Rules {
				rules[rule.Alert] = rule
			}
		}
	}
	return rules, faults
}

// firing are the labels for which the expression held at every evaluation for long enough.
func (s scenario) firing(reader parser.Parser, rule rulefmt.Rule) ([]map[string]string, error) {
	held := time.Duration(rule.For)
	series, err := read(reader, s.Series)
	if err != nil {
		return nil, err
	}
	engine := promql.NewEngine(promql.EngineOpts{
		MaxSamples: mostSamples, Timeout: timeout, LookbackDelta: lookback, Parser: reader,
	})
	until := time.Unix(s.Minute*60, 0)
	query, err := engine.NewRangeQuery(
		context.Background(), &storage.MockQueryable{MockQuerier: querier(series)}, nil, rule.Expr, until.Add(-held), until, step,
	)
	if err != nil {
		return nil, err
	}
	defer query.Close()
	found := query.Exec(context.Background())
	matrix, err := found.Matrix()
	if err != nil {
		return nil, err
	}
	firing := []map[string]string{}
	for _, one := range matrix {
		if len(one.Floats) == int(held/step)+1 {
			firing = append(firing, one.Metric.Map())
		}
	}
	return firing, nil
}

func read(reader parser.Parser, lines []string) ([]storage.Series, error) {
	var all []storage.Series
	for _, line := range lines {
		of, values, err := reader.ParseSeriesDesc(line)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", line, err)
		}
		var samples []chunks.Sample
		for minute, value := range values {
			if !value.Omitted {
				samples = append(samples, sample{at: int64(minute) * step.Milliseconds(), value: value.Value})
			}
		}
		all = append(all, storage.NewListSeries(of, samples))
	}
	return all, nil
}

func querier(series []storage.Series) storage.Querier {
	choose := func(_ bool, _ *storage.SelectHints, matchers ...*labels.Matcher) storage.SeriesSet {
		chosen := &set{at: -1}
		for _, one := range series {
			matches := true
			for _, matcher := range matchers {
				matches = matches && matcher.Matches(one.Labels().Get(matcher.Name))
			}
			if matches {
				chosen.series = append(chosen.series, one)
			}
		}
		return chosen
	}
	return &storage.MockQuerier{SelectMockFunction: choose}
}
