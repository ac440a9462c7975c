// Package metatest is the contract of registry metadata, as tests that run on
// any database: every way to open a metadata.Store passes all of it.
package metatest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/cloudlets/cloudlets/blobstore"
	"github.com/cloudlets/cloudlets/registry/clocktest"
	"github.com/cloudlets/cloudlets/registry/metadata"
)

// Open opens an empty store for one test, to be closed when the test ends.
type Open func(t *testing.T, o metadata.Options) *metadata.Store

// Run runs the contract on the stores that open returns.
func Run(t *testing.T, open Open) {
	tests := map[string]func(*testing.T, *fixture){
		"BlobIsFoundWhereItWasCommitted":        testCommit,
		"DuplicateKeepsOlderRecord":             testDuplicate,
		"BlobNeedsItsSources":                   testNeeds,
		"MountSharesBlob":                       testMount,
		"RemovedBlobIsGoneUnlessReferred":       testRemoveBlob,
		"PromiseRenewsLeaseLate":                testPromise,
		"BlobsAreListedInPages":                 testListBlobs,
		"UsageCountsWhatIsStored":               testUsage,
		"UploadGoesOnFromItsState":              testUpload,
		"UploadOfTwoWritersHasOneWinner":        testUploadConflict,
		"UploadExpiresIntoTrash":                testUploadExpiry,
		"UploadEndsWithItsBlob":                 testUploadCommit,
		"TrashIsDueInTime":                      testTrash,
		"ManifestComesBackByteForByte":          testManifest,
		"ManifestWithoutItsBlobsIsRefused":      testMissingBlobs,
		"ManifestIsTheRepositorysOwn":           testManifestScope,
		"SparseReferencesAreHeldOnceTheyArrive": testSparse,
		"TagMovesAndRemembers":                  testTags,
		"TagsAreListedInPages":                  testListTags,
		"DeletedManifestTakesItsTags":           testDeleteManifest,
		"DeletedChildLeavesSparseIndex":         testDeleteChild,
		"ReferrersAreFilteredAndPaged":          testReferrers,
		"RepositoriesAreListedOnceTheyHold":     testRepositories,
		"RenderIsFoundByDerivation":             testRender,
		"ConcurrentWritersAllSucceed":           testConcurrent,
		"WhatIsLetGoOfIsQueued":                 testLetGo,
		"IndexLetsGoOfItsFamily":                testLetGoOfFamily,
		"PromiseOutlivesReview":                 testPromiseOutlivesReview,
		"LetGoAgainIsReviewedLater":             testLetGoAgain,
		"DryReviewChangesNothing":               testReviewDry,
		"BlobIsRestoredUntilItIsDoomed":         testRestore,
		"HoldForbidsRemoval":                    testHolds,
		"RenderGoesWithItsImage":                testRenderOfGoneImage,
		"OrphanIsGivenUpInTime":                 testOrphans,
		"SuspectIsClearedByItsCommit":           testSuspectIsCleared,
		"DatabaseIsBoundToOneStore":             testBind,
		"DutyIsOnesAtATime":                     testDuties,
		"TagIsRetiredUnlessMoved":               testRetireTag,
		"RemovedManifestIsKeptForAWhile":        testGraves,
		"ChangesAreQueuedInOrder":               testEvents,
		"NothingIsQueuedForNobody":              testNoEvents,
		"StateCountsWhatIsHeld":                 testState,
		"FailedChangeIsNotTold":                 testFailedChange,
		"EventsStayUntilAllHaveThem":            testDelivery,
		"EndpointHasOneOwner":                   testEndpointOwner,
		"EndpointIsForgottenUnlessRenewed":      testForgottenEndpoint,
		"OutboxIsBounded":                       testTrimEvents,
		"ConcurrentChangesAreToldAsCommitted":   testEventOrder,
		"ChangesAreToldUntilTheyAreSaved":       testChanges,
		"JournalsAreBounded":                    testBoundedChanges,
		"OvertakenJournalIsRefused":             testOvertakenJournal,
		"CompleteJournalStandsForThoseBefore":   testCompleteJournal,
		"DatabaseIsRebuilt":                     testRebuild,
		"QuarantineReachesWhatIsReadFromIt":     testQuarantine,
		"PushReplacesWhatCannotBeRead":          testRepush,
		"DamagedObjectIsReplaced":               testReplace,
		"OldestVerifiedIsClaimedFirst":          testScrubClaims,
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			f := &fixture{T: t, ctx: t.Context(), clock: clocktest.New()}
			f.Store = open(t, metadata.Options{Clock: f.clock.Now, Lease: day, Upload: day, Trash: day})
			test(t, f)
		})
	}
}

const day = 24 * time.Hour

// fixture is a store with a clock that stands still unless moved.
type fixture struct {
	*metadata.Store
	T     *testing.T
	ctx   context.Context
	clock *clocktest.Clock
}

// must fails the test on an error.
func (f *fixture) must(err error) {
	f.T.Helper()
	if err != nil {
		f.T.Fatal(err)
	}
}

// wantErr fails the test unless err wraps want.
func (f *fixture) wantErr(err, want error) {
	f.T.Helper()
	if !errors.Is(err, want) {
		f.T.Fatalf("got the error %v, want %v", err, want)
	}
}

func digestOf(content string) digest.Digest { return digest.FromString(content) }

// record is the record of a whole blob with the given content.
func record(content string) blobstore.Record {
	return blobstore.Record{
		Digest: digestOf(content),
		Size:   int64(len(content)),
		Kind:   blobstore.Whole,
		Key:    "objects/" + content,
	}
}

// blob commits a whole blob and returns its digest.
func (f *fixture) blob(repository, content string) digest.Digest {
	f.T.Helper()
	r, err := f.CommitBlob(f.ctx, repository, record(content), nil)
	f.must(err)
	return r.Digest
}

// put is a manifest with the given content and tags.
func put(repository, content string, refs []metadata.Reference, tags ...string) metadata.ManifestPut {
	return metadata.ManifestPut{
		Repository: repository,
		Manifest: metadata.Manifest{
			Digest:       digestOf(content),
			MediaType:    "application/vnd.oci.image.manifest.v1+json",
			ArtifactType: "application/vnd.example",
			Size:         int64(len(content)),
			Raw:          []byte(content),
		},
		References: refs,
		Tags:       tags,
		Actor:      "tester",
	}
}

// manifest stores a manifest without references and returns its digest.
func (f *fixture) manifest(repository, content string, tags ...string) digest.Digest {
	f.T.Helper()
	p := put(repository, content, nil, tags...)
	f.must(f.PutManifest(f.ctx, p))
	return p.Manifest.Digest
}

func layer(d digest.Digest) []metadata.Reference {
	return []metadata.Reference{{Digest: d, Kind: metadata.RefLayer}}
}

func testConcurrent(t *testing.T, f *fixture) {
	const writers, each = 8, 10
	var group sync.WaitGroup
	for w := range writers {
		group.Go(func() {
			for i := range each {
				content := fmt.Sprintf("%d-%d", w, i)
				if _, err := f.CommitBlob(f.ctx, "a", record(content), nil); err != nil {
					t.Error(err)
				}
				if err := f.PutManifest(f.ctx, put("a", "m"+content, layer(digestOf(content)), "latest")); err != nil {
					t.Error(err)
				}
				if _, err := f.Tagged(f.ctx, "a", "latest"); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	events, err := f.TagHistory(f.ctx, "a", "latest", 0, writers*each+1)
	f.must(err)
	if len(events) != writers*each {
		t.Fatalf("the history has %d events, want %d", len(events), writers*each)
	}
	for i := range len(events) - 1 {
		if events[i].Previous != events[i+1].Digest {
			t.Fatalf("event %d follows %s, not the %s before it", i, events[i].Previous, events[i+1].Digest)
		}
	}
}
