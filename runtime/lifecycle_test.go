package runtime

import "context"

// starters are the two ways to make a container.
var starters = map[string]func(*Runtime, context.Context, string, *CreateOptions) (*Container, error){
	"Run": (*Runtime).Run, "Create": (*Runtime).Create,
}
