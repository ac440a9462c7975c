package s3

import (
	"context"
	"fmt"
	"strings"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/lifecycle"
	"github.com/oklog/ulid/v2"
)

const (
	probeDir = "probes"
	// ruleID names the rule of ours in the bucket's lifecycle.
	ruleID = "cloudlets-abort-uploads"
	// abortDays is after how many days the store gives up uploads by itself.
	abortDays = 7
)

// probe writes an object and removes it, to learn now and not at the first push
// what does not work. Nothing rests on conditional writes; whether there are any
// is logged since it says how old a server is.
func (d *Driver) probe(ctx context.Context) error {
	key := d.prefix + probeDir + "/" + ulid.Make().String()
	if err := d.putEmpty(ctx, key, minio.PutObjectOptions{}); err != nil {
		return fmt.Errorf("write a probe: %w", err)
	}
	var once minio.PutObjectOptions
	once.SetMatchETagExcept("*") // If-None-Match: *
	again := d.putEmpty(ctx, key, once)
	if err := d.client.RemoveObject(ctx, d.bucket, key, minio.RemoveObjectOptions{}); err != nil {
		return fmt.Errorf("remove a probe: %w", err)
	}
	conditional := minio.ToErrorResponse(again).Code == minio.PreconditionFailed
	rule := d.abortRule(ctx)
	d.log.Info("object store ready", "bucket", d.bucket, "prefix", d.prefix, "conditional_writes", conditional, "abort_rule", rule)
	return nil
}

// abortRule sees to it that the store gives up multipart uploads that we lost,
// and says what came of that.
func (d *Driver) abortRule(ctx context.Context) string {
	rules, err := d.client.GetBucketLifecycle(ctx, d.bucket)
	if err != nil {
		if minio.ToErrorResponse(err).Code != "NoSuchLifecycleConfiguration" {
			return "not possible: " + minio.ToErrorResponse(err).Code
		}
		rules = lifecycle.NewConfiguration()
	}
	id := ruleID
	if d.prefix != "" {
		id += "-" + strings.ReplaceAll(strings.TrimSuffix(d.prefix, "/"), "/", "-")
	}
	for _, r := range rules.Rules {
		if r.ID == id {
			return "present"
		}
	}
	rules.Rules = append(rules.Rules, lifecycle.Rule{
		ID: id, Status: "Enabled", RuleFilter: lifecycle.Filter{Prefix: d.prefix + objectsDir + "/"},
		AbortIncompleteMultipartUpload: lifecycle.AbortIncompleteMultipartUpload{DaysAfterInitiation: abortDays},
	})
	if err := d.client.SetBucketLifecycle(ctx, d.bucket, rules); err != nil {
		return "not possible: " + minio.ToErrorResponse(err).Code
	}
	return "installed"
}

// putEmpty writes an object without bytes.
func (d *Driver) putEmpty(ctx context.Context, key string, o minio.PutObjectOptions) error {
	_, err := d.client.PutObject(ctx, d.bucket, key, strings.NewReader(""), 0, "", "", o)
	return err
}
