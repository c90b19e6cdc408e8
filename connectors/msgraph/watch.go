package msgraph

import (
	"context"
	"errors"
	"net/http"
	"regexp"
	"time"

	"github.com/lockkeeper/lockkeeper/connectors"
)

var _ connectors.Watcher = (*driver)(nil)

// longestWatch is how long a subscription may live ("Subscription lifetime").
func longestWatch(k connectors.Kind) time.Duration {
	if k == connectors.KindTask {
		return 4230 * time.Minute
	}
	return 10080 * time.Minute
}

// Watch implements connectors.Watcher. Notifications of changes and those about the
// subscription go to the same address; see Hooks. A subscription is for all mails
// and events of the mailbox, and for the first of the folders of contacts and tasks
// that the endpoint names: polling finds what is in the others.
func (d *driver) Watch(ctx context.Context, c connectors.Call, k connectors.Kind, w connectors.Watch) (connectors.Watched, error) {
	s := d.session(c, k)
	if latest := d.now().Add(longestWatch(k) - time.Minute); w.Until.After(latest) {
		w.Until = latest
	}
	p := part{method: http.MethodPatch, path: "/subscriptions/" + w.ID, body: map[string]any{"expirationDateTime": w.Until.UTC().Format(time.RFC3339)}}
	switch {
	case w.ID == "":
		in, err := s.followed(ctx)
		if err != nil {
			return connectors.Watched{}, err
		}
		resource := map[connectors.Kind]string{connectors.KindMail: "/messages", connectors.KindAppointment: "/events"}[k]
		if resource == "" {
			resource = in.followed[0].list
		}
		p.method, p.path = http.MethodPost, "/subscriptions"
		p.body["changeType"], p.body["resource"], p.body["clientState"] = "created,updated,deleted", s.d.user[1:]+resource, w.State
		p.body["notificationUrl"], p.body["lifecycleNotificationUrl"] = w.URL, w.URL
	case !isWatch(w.ID):
		return connectors.Watched{}, &connectors.Error{Class: connectors.ErrNotFound}
	}
	r, err := s.single(ctx, p)
	if err != nil {
		return connectors.Watched{}, err
	}
	if err := classify(r, true); err != nil {
		return connectors.Watched{}, err
	}
	var out struct {
		ID    string    `json:"id"`
		Until time.Time `json:"expirationDateTime"`
	}
	if err := decode(r.Body, &out); err != nil || !isWatch(out.ID) {
		return connectors.Watched{}, &connectors.Error{Class: connectors.ErrUnknownOutcome, Detail: "answer to a write"}
	}
	return connectors.Watched{ID: out.ID, Until: out.Until}, nil
}

// Unwatch implements connectors.Watcher.
func (d *driver) Unwatch(ctx context.Context, c connectors.Call, k connectors.Kind, id string) error {
	if !isWatch(id) {
		return nil
	}
	r, err := d.session(c, k).single(ctx, part{method: http.MethodDelete, path: "/subscriptions/" + id})
	if err != nil {
		return err
	}
	if err := classify(r, true); err != nil && !errors.Is(err, connectors.ErrNotFound) {
		return err
	}
	return nil
}

// isWatch reports whether a text can be the id of a subscription.
func isWatch(id string) bool { return regexp.MustCompile(`^[0-9A-Za-z-]{8,128}$`).MatchString(id) }
