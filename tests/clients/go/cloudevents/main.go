// Reads a CloudEvent in JSON from each line of standard input, and writes what the SDK makes of it as a line of JSON.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"

	cloudevents "github.com/cloudevents/sdk-go/v2"
)

func main() {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		event := cloudevents.NewEvent()
		if err := json.Unmarshal(lines.Bytes(), &event); err != nil {
			panic(err)
		}
		if err := event.Validate(); err != nil {
			panic(err)
		}
		found := event.Extensions()
		found["specversion"], found["id"], found["source"] = event.SpecVersion(), event.ID(), event.Source()
		found["type"], found["time"] = event.Type(), event.Time()
		found["datacontenttype"], found["data"] = event.DataContentType(), json.RawMessage(event.Data())
		line, err := json.Marshal(found)
		if err != nil {
			panic(err)
		}
		fmt.Println(string(line))
	}
}
