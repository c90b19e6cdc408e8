package c4c

import (
	"context"
	"iter"
	"net/http"
	"slices"

	"github.com/lockkeeper/lockkeeper/connectors"
	"github.com/lockkeeper/lockkeeper/connectors/internal/remote"
)

// companies finds the account of every company that the given contacts name,
// and creates those that do not exist; the answer maps names to account
// numbers. A name means the account that shows exactly this name, the oldest if
// there are several. Where an account cannot be made, its contacts fail, each
// in its place of out. The error means that nothing was written for any contact.
func (s session) companies(ctx context.Context, k connectors.Kind, rs iter.Seq2[int, *connectors.Record], out []connectors.Written) (map[string]string, error) {
	if sh, err := s.shape(k); err != nil || !sh.company {
		return nil, err
	}
	var names []string
	users := map[string][]int{}
	for i, r := range rs {
		if n := r.Contact.Company; n != "" {
			if users[n] == nil {
				names = append(names, n)
			}
			users[n] = append(users[n], i)
		}
	}
	numbers, err := s.accounts(ctx, names)
	if err != nil {
		return nil, remote.Unsent(err)
	}
	missing := slices.DeleteFunc(slices.Clone(names), func(n string) bool { return numbers[n] != "" })
	sets, after := make([][]operation, len(missing)), make([]string, len(missing))
	for i, n := range missing {
		sets[i] = []operation{{method: http.MethodPost, rel: setAccount,
			body: properties{"Name": n, "RoleCode": codeRoleCustomer, "LifeCycleStatusCode": codeActive}}}
	}
	done, _, errs := s.write(ctx, sets, after)
	for i, n := range missing {
		err := errs[i]
		if err == nil {
			if numbers[n], err = done[i].entity().text("AccountID"); err == nil && numbers[n] == "" {
				err = &connectors.Error{Class: connectors.ErrMalformed, Detail: "account without a number"}
			}
		}
		if err == nil {
			continue
		}
		for _, j := range users[n] {
			// Nothing was written for the contact yet; the account is looked up
			// by name again at the next try.
			out[j].Err = inField(remote.Unsent(err), connectors.FieldCompany)
		}
	}
	return numbers, nil
}

func inField(err error, f connectors.Field) error {
	if e, ok := err.(*connectors.Error); ok {
		v := *e
		v.Field = f
		return &v
	}
	return err
}

// accounts finds the numbers of accounts by name.
func (s session) accounts(ctx context.Context, names []string) (map[string]string, error) {
	type account struct {
		number, id string
		created    int64
	}
	best := map[string]account{}
	var rels []string
	for chunk := range slices.Chunk(names, findChunk) {
		rels = append(rels, setAccount+"?"+query("$filter", anyOf("Name", chunk), "$orderby", propID, "$select",
			"ObjectID,AccountID,Name,BusinessPartnerFormattedName,LifeCycleStatusCode,CreationOn", "$format", "json"))
	}
	es, err := s.lists(ctx, rels)
	if err != nil {
		return nil, err
	}
	for _, e := range es {
		x := reader{e: e}
		a := account{number: x.text("AccountID"), id: x.text(propID), created: x.date("CreationOn").UnixMilli()}
		name, shown := x.text("Name"), x.text("BusinessPartnerFormattedName")
		if x.err != nil {
			return nil, &connectors.Error{Class: connectors.ErrMalformed, Detail: "account with a property of another type than its own"}
		}
		// Contacts show the formatted name: an account that shows another one
		// would not give back what was written.
		if a.number == "" || x.text("LifeCycleStatusCode") == codeObsolete || shown != "" && shown != name {
			continue
		}
		old, ok := best[name]
		if !ok || a.created < old.created || a.created == old.created && a.id < old.id {
			best[name] = a
		}
	}
	out := make(map[string]string, len(names))
	for _, n := range names {
		if a, ok := best[n]; ok {
			out[n] = a.number
		}
	}
	return out, nil
}
