package main

import (
	"fmt"

	"github.com/opencontainers/go-digest"
)

// algorithms are those that the image specification registers.
var algorithms = []digest.Algorithm{digest.SHA256, digest.SHA512}

// allGroups returns the groups in the order they run in.
func allGroups(s *session) ([]group, error) {
	if s.profile == profileCloudlets {
		return extensionGroups(), nil
	}
	groups := []group{pingGroup(), emptyGroup()}
	for _, a := range algorithms {
		groups = append(groups, blobGroup(a), digestGroup(a), rangeGroup(a), mountGroup(a), uploadGroup(a))
	}
	sets, err := s.dataSets()
	if err != nil {
		return nil, fmt.Errorf("make the data sets: %w", err)
	}
	for _, set := range sets {
		groups = append(groups, set.group())
	}
	return append(groups,
		badImageGroup(), manifestGroup(), manifestSizeGroup(), negotiationGroup(),
		tagGroup(), tagParameterGroup(), referrersGroup(), deleteGroup(), proxyGroup(), catalogGroup()), nil
}
