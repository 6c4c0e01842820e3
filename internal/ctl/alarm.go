package ctl

import (
	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

func (c *ctl) alarmCommand() *cobra.Command {
	list := &cobra.Command{
		Use:   "list",
		Short: "Lists all alarms",
		RunE: c.run(func(cmd *cobra.Command, args []string) error {
			if len(args) != 0 {
				return badArguments("alarm list command accepts no arguments")
			}
			client, err := c.connect(cmd)
			if err != nil {
				return err
			}
			ctx, cancel := c.limited()
			defer cancel()
			resp, err := client.AlarmList(ctx)
			if err != nil {
				return err
			}
			return c.out.print(alarmAnswer{resp})
		}),
	}
	disarm := &cobra.Command{
		Use:   "disarm",
		Short: "Disarms all alarms",
		RunE: c.run(func(cmd *cobra.Command, args []string) error {
			if len(args) != 0 {
				return badArguments("alarm disarm command accepts no arguments")
			}
			client, err := c.connect(cmd)
			if err != nil {
				return err
			}
			ctx, cancel := c.limited()
			defer cancel()
			// The zero member means: every alarm there is.
			resp, err := client.AlarmDisarm(ctx, &clientv3.AlarmMember{})
			if err != nil {
				return err
			}
			return c.out.print(alarmAnswer{resp})
		}),
	}
	return group("alarm <subcommand>", "Alarm related commands", list, disarm)
}

type alarmAnswer struct{ resp *clientv3.AlarmResponse }

func (a alarmAnswer) value() any                      { return a.resp }
func (a alarmAnswer) message() (proto.Message, error) { return (*pb.AlarmResponse)(a.resp), nil }

func (a alarmAnswer) simple(w *simpleWriter) {
	for _, alarm := range a.resp.Alarms {
		w.printf("memberID:%d alarm:%s\n", alarm.MemberID, alarm.Alarm)
	}
}

func (a alarmAnswer) fields(w *fieldsWriter) {
	w.header(a.resp.Header)
	for _, alarm := range a.resp.Alarms {
		w.id("MemberID", alarm.MemberID)
		w.field("AlarmType", alarm.Alarm)
		w.blank()
	}
}

// alarmName is how endpoint health calls an alarm.
func alarmName(t pb.AlarmType) string {
	switch t {
	case pb.AlarmType_NOSPACE, pb.AlarmType_CORRUPT:
		return t.String()
	}
	return "UNKNOWN"
}
