// Package systemd asks systemd, over D-Bus, for what belongs to it: the part of
// the tree of cgroups that it manages (org.freedesktop.systemd1(5)).
package systemd

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/godbus/dbus/v5"
)

const (
	service = "org.freedesktop.systemd1"
	manager = service + ".Manager"
	object  = dbus.ObjectPath("/org/freedesktop/systemd1")

	noSuchUnit = service + ".NoSuchUnit"
	unitExists = service + ".UnitExists"
)

// private is the socket that systemd itself listens on, for root, where there is
// no bus.
const private = "unix:path=/run/systemd/private"

// Property is a setting of a unit: a value of the type that D-Bus has for it.
type Property struct {
	Name  string
	Value dbus.Variant
}

// Set makes a property.
func Set(name string, value any) Property { return Property{name, dbus.MakeVariant(value)} }

// Conn is a connection to the system's manager, or to the user's own.
type Conn struct {
	bus  *dbus.Conn
	jobs chan *dbus.Signal
}

// Connect connects to the systemd that makes units for the caller, see User; Close
// ends that.
func Connect(ctx context.Context) (*Conn, error) {
	if uid, ok := User(); ok {
		return connectUser(ctx, uid)
	}
	bus, err := dbus.ConnectSystemBus(dbus.WithContext(ctx))
	viaBus := err == nil
	if !viaBus {
		var second error
		if bus, second = dialPrivate(ctx); second != nil {
			return nil, fmt.Errorf("connect to systemd by the system's bus: %w; at its own socket: %w", err, second)
		}
	}
	c, err := newConn(ctx, bus, viaBus)
	if err != nil {
		return nil, fmt.Errorf("connect to systemd: %w", err)
	}
	return c, nil
}

// newConn takes a connection over, which it closes when it fails.
func newConn(ctx context.Context, bus *dbus.Conn, viaBus bool) (*Conn, error) {
	c := &Conn{bus: bus, jobs: make(chan *dbus.Signal, 64)}
	bus.Signal(c.jobs)
	if err := c.subscribe(ctx, viaBus); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// dialPrivate does without Hello, which is for buses.
func dialPrivate(ctx context.Context) (*dbus.Conn, error) {
	bus, err := dbus.Dial(private, dbus.WithContext(ctx))
	if err != nil {
		return nil, err
	}
	if err := bus.Auth([]dbus.Auth{dbus.AuthExternal("0")}); err != nil {
		bus.Close()
		return nil, err
	}
	return bus, nil
}

// subscribe has the manager tell of the ends of jobs. At its own socket it tells
// everybody.
func (c *Conn) subscribe(ctx context.Context, viaBus bool) error {
	if viaBus {
		if err := c.bus.AddMatchSignalContext(ctx, dbus.WithMatchInterface(manager), dbus.WithMatchMember("JobRemoved")); err != nil {
			return err
		}
	}
	return c.call(ctx, "Subscribe").Err
}

// Close ends the connection.
func (c *Conn) Close() error { return c.bus.Close() }

func (c *Conn) call(ctx context.Context, method string, args ...any) *dbus.Call {
	return c.bus.Object(service, object).CallWithContext(ctx, manager+"."+method, 0, args...)
}

// StartScope makes a transient unit and waits until it is there. What is left
// over of a unit of its name that failed is cleared away.
func (c *Conn) StartScope(ctx context.Context, unit string, properties []Property) error {
	start := func() error {
		type auxiliary struct {
			Name       string
			Properties []Property
		}
		return c.job(ctx, "StartTransientUnit", unit, "fail", properties, []auxiliary{})
	}
	err := start()
	if is(err, unitExists) && c.call(ctx, "ResetFailedUnit", unit).Err == nil {
		err = start()
	}
	if err != nil {
		return fmt.Errorf("have systemd start %s: %w", unit, err)
	}
	return nil
}

// Attach moves processes into a unit that is delegated: into its group, or into the
// one at sub below that ("/web"), which is there. A manager of a user's has the
// system's do it, so that they may come from where the user himself can move nothing.
func (c *Conn) Attach(ctx context.Context, unit, sub string, pids ...int) error {
	list := make([]uint32, len(pids))
	for i, pid := range pids {
		list[i] = uint32(pid)
	}
	if err := c.call(ctx, "AttachProcessesToUnit", unit, sub, list).Err; err != nil {
		return fmt.Errorf("have systemd move processes %v into %s%s: %w", pids, unit, sub, err)
	}
	return nil
}

// Delegated tells whether a service or scope has Delegate=yes.
func (c *Conn) Delegated(ctx context.Context, unit string) (yes bool, err error) {
	kind := ".Service"
	if strings.HasSuffix(unit, ".scope") {
		kind = ".Scope"
	}
	var path dbus.ObjectPath
	var value dbus.Variant
	if err = c.call(ctx, "GetUnit", unit).Store(&path); err == nil {
		err = c.bus.Object(service, path).CallWithContext(ctx, "org.freedesktop.DBus.Properties.Get", 0, service+kind, "Delegate").Store(&value)
	}
	if err != nil {
		return false, fmt.Errorf("ask systemd for Delegate of %s: %w", unit, err)
	}
	yes, _ = value.Value().(bool)
	return yes, nil
}

// Stop ends a unit with all of its processes and waits until systemd has
// forgotten it, by which its name is free. One that is not there is no error.
// An empty scope goes by itself meanwhile: there may be no job to wait for.
func (c *Conn) Stop(ctx context.Context, unit string) error {
	err := c.call(ctx, "StopUnit", unit, "replace").Err
	for wait := time.Millisecond; err == nil; wait = min(2*wait, 50*time.Millisecond) {
		c.call(ctx, "ResetFailedUnit", unit) // a killed one has failed, and would stay
		if err = c.call(ctx, "GetUnit", unit).Err; err != nil {
			break
		}
		select {
		case <-ctx.Done():
			err = fmt.Errorf("it is still there: %w", context.Cause(ctx))
		case <-time.After(wait):
		}
	}
	if is(err, noSuchUnit) {
		return nil
	}
	return fmt.Errorf("have systemd stop %s: %w", unit, err)
}

// Change sets properties of a unit that runs, for as long as it does.
func (c *Conn) Change(ctx context.Context, unit string, properties []Property) error {
	if err := c.call(ctx, "SetUnitProperties", unit, true, properties).Err; err != nil {
		return fmt.Errorf("have systemd change %s: %w", unit, err)
	}
	return nil
}

// job calls a method that begins a job, and waits for its end.
func (c *Conn) job(ctx context.Context, method string, args ...any) error {
	var path dbus.ObjectPath
	if err := c.call(ctx, method, args...).Store(&path); err != nil {
		return err
	}
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case s, ok := <-c.jobs:
			if !ok {
				return errors.New("the connection was closed")
			}
			result, found := resultOf(s, path)
			if found && result != "done" {
				return fmt.Errorf("the job's result is %q", result)
			}
			if found {
				return nil
			}
		}
	}
}

// resultOf takes the signal JobRemoved(id, job, unit, result) apart.
func resultOf(s *dbus.Signal, job dbus.ObjectPath) (result string, ok bool) {
	if s.Name != manager+".JobRemoved" || len(s.Body) < 4 || s.Body[1] != job {
		return "", false
	}
	result, ok = s.Body[3].(string)
	return result, ok
}

// is tells which error of D-Bus it is.
func is(err error, name string) bool {
	var e dbus.Error
	return errors.As(err, &e) && e.Name == name
}
