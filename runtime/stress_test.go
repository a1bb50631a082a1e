package runtime

import (
	"context"
	"os"
	"sync"
	"testing"
)

// Many containers at a time, made and deleted from one process. TestMain looks
// for what they leave.
func TestManyAtOnce(t *testing.T) {
	s := newStage(t)
	const total, atOnce = 50, 8
	jobs := make(chan int)
	var workers sync.WaitGroup
	for range atOnce {
		workers.Go(func() {
			for i := range jobs {
				if err := s.one(i); err != nil {
					t.Errorf("container %d: %v", i, err)
				}
			}
		})
	}
	for i := range total {
		jobs <- i
	}
	close(jobs)
	workers.Wait()
}

// one lives through the life of a container.
func (s *stage) one(i int) error {
	ctx := context.Background()
	spec := baseSpec(s.image)
	spec.Process.Args = ops(op("wait"))
	id := "many." + string(rune('a'+i%26)) + string(rune('a'+i/26))
	spec.Linux.CgroupsPath = group + "/" + id
	how := starters[[]string{"Run", "Create"}[i%2]]
	c, err := how(s.r, ctx, id, &CreateOptions{Bundle: s.image, Spec: spec})
	if err != nil {
		return err
	}
	defer c.Delete(ctx, true)
	if i%2 == 1 {
		if err := c.Start(ctx); err != nil {
			return err
		}
	}
	p, err := c.Exec(ctx, &ExecOptions{Process: command(op("exit", "9"))})
	if err != nil {
		return err
	}
	if exit, err := p.Wait(ctx); err != nil || exit.Code != 9 {
		return os.ErrInvalid
	}
	if _, err := s.r.List(); err != nil {
		return err
	}
	if err := c.Kill(9, false); err != nil {
		return err
	}
	if _, err := c.Wait(ctx); err != nil {
		return err
	}
	return c.Delete(ctx, false)
}

func BenchmarkRun(b *testing.B) {
	s := newStage(b)
	ctx := context.Background()
	s.spec.Process.Args = ops(op("exit", "0"))
	for b.Loop() {
		o := s.options("bench")
		c, err := s.r.Run(ctx, "bench", o)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := c.Wait(ctx); err != nil {
			b.Fatal(err)
		}
		if err := c.Delete(ctx, false); err != nil {
			b.Fatal(err)
		}
	}
}
