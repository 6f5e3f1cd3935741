// Command judge says what GitOps tools make of objects: kstatus, by which Flux and kpt wait, and Argo CD's health
// check, which runs a script in Lua.
//
//	judge FOLDER < OBJECTS
//
// FOLDER holds the scripts as Argo CD's own repository lays them out: GROUP/KIND/health.lua. OBJECTS has one whole
// Kubernetes object in JSON on each line; for each a line of JSON is printed, in the same order.
//
// kstatus is taken from Flux's fork: it is kept, it follows the releases of Kubernetes, and Flux waits with it. The last
// release of sigs.k8s.io/cli-utils is of July 2024. Argo CD's own package util/lua cannot be imported without the whole
// of Argo CD, whose go.mod replaces forty modules, which a dependent would have to repeat. So what it does around a
// script is done here again, with the same engine: see runHealth.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	lua "github.com/yuin/gopher-lua"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Time that Argo CD gives a script.
const scriptLimit = time.Second

// What Argo CD knows as health; anything else it shows as Unknown, with a complaint.
var healthCodes = []string{"Degraded", "Healthy", "Missing", "Progressing", "Suspended", "Unknown"}

// Judgement of one object.
type judgement struct {
	Kstatus string `json:"kstatus"`
	Argo    string `json:"argo"`
	// What Argo CD shows beside the health.
	Message string `json:"message"`
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: judge FOLDER < OBJECTS")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "judge:", err)
		os.Exit(1)
	}
}

func run(folder string, in io.Reader, out io.Writer) error {
	reader := bufio.NewReader(in)
	printed := json.NewEncoder(out)
	for number := 1; ; number++ {
		line, err := reader.ReadBytes('\n')
		if len(line) == 0 && err == io.EOF {
			return nil
		}
		if err != nil && err != io.EOF {
			return err
		}
		judged, err := judge(folder, line)
		if err != nil {
			return fmt.Errorf("line %d: %w", number, err)
		}
		if err := printed.Encode(judged); err != nil {
			return err
		}
	}
}

func judge(folder string, line []byte) (*judgement, error) {
	object := &unstructured.Unstructured{}
	// Not plain JSON: this one keeps whole numbers whole, as both tools get them from their caches.
	if err := object.UnmarshalJSON(line); err != nil {
		return nil, err
	}
	kind := object.GroupVersionKind()
	name := fmt.Sprintf("%s %s/%s", kind.Kind, object.GetNamespace(), object.GetName())
	result, err := status.Compute(object)
	if err != nil {
		return nil, fmt.Errorf("%s: kstatus: %w", name, err)
	}
	script, err := os.ReadFile(filepath.Join(folder, kind.Group, kind.Kind, "health.lua"))
	if err != nil {
		return nil, err
	}
	health, message, err := runHealth(string(script), object.Object)
	if err != nil {
		return nil, fmt.Errorf("%s: health.lua: %w", name, err)
	}
	return &judgement{Kstatus: result.Status.String(), Argo: health, Message: message}, nil
}

// Runs a script as Argo CD runs one from argocd-cm: a new engine without the standard libraries, but package, base and
// table; the object in the global obj; a second of time; a table with status and message as the result. Argo CD offers
// os.time and os.date besides; a verdict that depends on the hour is no verdict, so here they are missing.
func runHealth(script string, object map[string]any) (health, message string, err error) {
	state := lua.NewState(lua.Options{SkipOpenLibs: true})
	defer state.Close()
	libraries := []struct {
		name string
		open lua.LGFunction
	}{
		{lua.LoadLibName, lua.OpenPackage},
		{lua.BaseLibName, lua.OpenBase},
		{lua.TabLibName, lua.OpenTable},
	}
	for _, library := range libraries {
		call := lua.P{Fn: state.NewFunction(library.open), NRet: 0, Protect: true}
		if err := state.CallByParam(call, lua.LString(library.name)); err != nil {
			return "", "", err
		}
	}
	limited, cancel := context.WithTimeout(context.Background(), scriptLimit)
	defer cancel()
	state.SetContext(limited)
	state.SetGlobal("obj", toLua(state, object))
	if err := state.DoString(script); err != nil {
		return "", "", err
	}
	table, isTable := state.Get(-1).(*lua.LTable)
	if !isTable {
		return "", "", fmt.Errorf("it returned %s instead of a table", state.Get(-1).Type())
	}
	health = table.RawGetString("status").String()
	if !slices.Contains(healthCodes, health) {
		return "", "", fmt.Errorf("Argo CD knows no health %q", health)
	}
	text, isText := table.RawGetString("message").(lua.LString)
	if !isText {
		return "", "", fmt.Errorf("it returned a message of type %s", table.RawGetString("message").Type())
	}
	return health, string(text), nil
}

func toLua(state *lua.LState, value any) lua.LValue {
	switch value := value.(type) {
	case bool:
		return lua.LBool(value)
	case int64:
		return lua.LNumber(value)
	case float64:
		return lua.LNumber(value)
	case string:
		return lua.LString(value)
	case []any:
		list := state.NewTable()
		for _, member := range value {
			list.Append(toLua(state, member))
		}
		return list
	case map[string]any:
		table := state.NewTable()
		for key, member := range value {
			table.RawSetString(key, toLua(state, member))
		}
		return table
	default:
		return lua.LNil
	}
}
